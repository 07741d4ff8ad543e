"""What one request leaves in the audit log.

Trust: gateway [net]. Input: hostile requests.

    begin     on the disk before the request is given to an engine
    end       its outcome, when all is over
    request   both in one, where the outcome is known before the answer
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final

from corral.audit.log import AuditLog
from corral.audit.pace import RefusalPace
from corral.audit.record import Kind, Record
from corral.tenancy.principal import Principal
from corral.tenancy.token import holds_secret

_WORD: Final = re.compile(r"[\w.:,-]{1,600}|\*", re.ASCII)
"""Names, numbers, permissions, lists of them; `*` is every model."""


class Trail:
    """The audit of one request.

    Attributes:
        status: of HTTP, once it is known.
    """

    def __init__(self, log: AuditLog, request_id: str, action: str, address: str) -> None:
        self.status = 0
        self._code = ""
        self._log = log
        self._id = request_id
        self._action = action
        self._address = address
        self._tenant = self._key = self._model = self._sha256 = self._prompt = ""
        self._arguments: dict[str, str] = {}
        self._begun: asyncio.Future[bool] | None = None
        self._needs_end = False
        self._told = False

    def by(self, principal: Principal) -> None:
        """Say whose request it is."""
        self._tenant, self._key = principal.tenant, principal.key_prefix

    def about(self, model: str, sha256: str = "", prompt: str = "") -> None:
        """Say what it is about.

        Args:
            model: name of an admitted model.
            sha256: its digest.
            prompt: digest of the prompt under the tenant's key.
        """
        self._model, self._sha256, self._prompt = model, sha256, prompt

    def on(self, names: dict[str, str]) -> None:
        """Say on what it is done, and what; other text than a word is `?`."""
        self._arguments = _words(names)

    def tell(self, model: str, names: dict[str, str]) -> None:
        """Say what only its body or its outcome told: the record of the end has it.

        Args:
            model: name of a model; other text than a word is `?`.
            names: of tenants, by what they are in it; likewise.
        """
        self._model = _words({"model": model})["model"]
        self._arguments = self._arguments | _words(names)
        self._told = True

    def add(self, names: dict[str, str]) -> None:
        """Say what its outcome told besides; likewise."""
        if names:
            self._arguments = self._arguments | _words(names)
            self._told = True

    def begin(self) -> None:
        """Queue the record of the beginning, as soon as all of it is known."""
        self._begun = self._log.submit(self._record("begin"))
        self._needs_end = True

    async def durable(self) -> bool:
        """Return whether a record of this request is on the disk; waits for the disk.

        A request that has not begun has its outcome written: it is known by now.
        """
        if self._begun is None:
            self._code = "ok"
            self._begun = self._log.submit(self._record("request"))
        return await self._log.durable(self._begun)

    def end(self, code: str, pace: RefusalPace) -> None:
        """Queue the outcome: of what has begun always, of a refusal unless there are too many.

        Args:
            code: `ok`, `cancelled` or an error's code.
            pace: bounds the records of refusals.
        """
        self._code = "cancelled" if code == "ok" and not self.status else code
        if self._needs_end:
            self._log.note(self._record("end"))
        elif self._begun is None and pace.admits(self._tenant, time.monotonic()):
            if count := pace.uncounted(self._tenant):
                self._log.note(self._record("more", count))
            self._log.note(self._record("request"))

    def _record(self, kind: Kind, count: int = 0) -> Record:
        began, more = kind != "end", kind == "more"
        told = self._told and not more
        return Record(
            chain="gateway", seq=0, prev="", at_ms=time.time_ns() // 1_000_000, kind=kind,
            id="" if more else self._id, tenant=self._tenant, key="" if more else self._key,
            address=self._address if began and not more else "",
            action="" if more else self._action,
            model=self._model if told or (began and not more) else "",
            sha256=self._sha256 if began and not more else "",
            prompt=self._prompt if began and not more else "",
            status=0 if kind in {"begin", "more"} else self.status,
            code="refused" if more else "" if kind == "begin" else self._code, count=count,
            arguments=self._arguments if told or kind == "begin" else {},
        )  # fmt: skip


def _words(names: dict[str, str]) -> dict[str, str]:
    return {_word(key): _word(text) for key, text in names.items()}


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) and not holds_secret(text) else "?"
