"""Stage 5, the end: what a guard model says of a request's texts, where a policy names one.

Trust: gateway [net]. Input: texts as they were sanitised; answers of a hostile engine. The guard
model runs as any other: in a worker of the asking tenant's own, so that no tenant's texts meet
another's and none can turn the guard against another. Fails closed: no answer, or one that says
neither word, refuses the request.
"""

from __future__ import annotations

import hmac
import secrets
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from corral.admission.catalog import Catalog, CatalogEntry
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.engine.allowance import allowed_config, quota_config, tier_is_given
from corral.engine.router import Router
from corral.engine.supervisor import Supervisor
from corral.engine.unavailable import Unavailable
from corral.engine.wire import Chunk, End, Message, Sampling, fits_line
from corral.engine.worker_link import Stream
from corral.gateway.stages import Leased
from corral.gateway.worker_choice import find_worker
from corral.guard.detection import detectable
from corral.guard.finding import Handling, Part
from corral.guard.guard_model import (
    ANSWER_TOKENS,
    KIND,
    is_unsafe,
    pieces,
    unsafe,
    wants_guard_model,
)
from corral.guard.input_chain import Cleaned, Seen
from corral.guard.options import Options
from corral.guard.policy import SanitationPolicy

_REMEMBERED: Final = 8192
_SAMPLING: Final = Sampling(max_tokens=ANSWER_TOKENS, temperature=0.0)
_CHARACTERS_PER_TOKEN: Final = 2
"""Few enough that a piece of text, and what the template adds, fits the model's context."""


class GuardModels:
    """Asks guard models; for one event loop.

    Args:
        catalog: where they are.
        router: every worker of this gateway.
        config: of this server.
    """

    def __init__(self, catalog: Catalog, router: Router, config: Config) -> None:
        self._catalog = catalog
        self._router = router
        self._config = config
        self._key = secrets.token_bytes(32)
        self._verdicts: OrderedDict[bytes, bool] = OrderedDict()

    async def look(
        self, leased: Leased, policy: SanitationPolicy, parts: Sequence[Part], cleaned: Cleaned
    ) -> Cleaned | None:
        """Return what is known of a request's texts after the policy's guard model; None to refuse.

        Args:
            leased: the request; its tenant's quota is the guard model's worker's too.
            policy: by which it goes.
            parts: its texts as they came.
            cleaned: what chain and detector made of them.
        """
        if cleaned.refused is not None or not wants_guard_model(policy):
            return cleaned
        began_s = time.perf_counter()
        seen: list[Seen] = []
        for part, text in zip(parts, cleaned.texts, strict=True):
            shown = replace(part, text=text)
            if not detectable(shown):
                continue
            said = await self._said(leased, policy.options, text)
            if said is None:
                if policy.mode == "enforce":
                    return None
                break
            if said:
                seen.append(unsafe(policy, shown))
        refuses = policy.effective()[KIND] is Handling.REFUSE
        return replace(
            cleaned,
            seen=(*cleaned.seen, *seen),
            refused=seen[0] if seen and refuses else None,
            spent_s={**cleaned.spent_s, "guard_model": time.perf_counter() - began_s},
        )

    async def _said(self, leased: Leased, options: Options, text: str) -> bool | None:
        """Return whether a text is called unsafe; None if nobody knows."""
        tenant = leased.authorised.authenticated.principal.tenant
        entry = self._entry(tenant, options.guard_model)
        if entry is None:
            return None
        said_as = f"{options.guard_safe}\0{options.guard_unsafe}"
        asked = f"{tenant}\0{entry.identity}\0{said_as}\0{text}"
        key = hmac.digest(self._key, asked.encode("utf-8", "surrogatepass"), "sha256")
        known = self._verdicts.get(key)
        if known is not None:
            self._verdicts.move_to_end(key)
            return known
        config = allowed_config(self._config, entry.receipt.decision.allowance)
        config = quota_config(config, leased.quota)
        worker = find_worker(self._router, tenant, entry, leased.quota, config)
        if worker is None:
            return None
        if leased.lease.turn is not None:
            leased.lease.turn.lend_while(lambda: worker.held_up)
        found = await _judged(worker, options, text, config.engine.context_tokens)
        if found is not None:
            self._verdicts[key] = found
            if len(self._verdicts) > _REMEMBERED:
                self._verdicts.popitem(last=False)
        return found

    def _entry(self, tenant: TenantName, name: str) -> CatalogEntry | None:
        """Return the model, if it can be asked for this tenant; a grant it needs none."""
        try:
            entry = self._catalog.lookup(name)
        except (CorralError, sqlite3.Error, OSError):
            return None
        if entry is None or not entry.receipt.has_chat_template:
            return None
        allowance = entry.receipt.decision.allowance
        given = tier_is_given(self._config, entry.trust, allowance)
        return entry if given and allowance.admits_tenant(tenant) else None


async def _judged(
    worker: Supervisor, options: Options, text: str, context_tokens: int
) -> bool | None:
    most = max(1024, context_tokens * _CHARACTERS_PER_TOKEN)
    for piece in pieces(text, most):
        answer = await _answer(worker, (Message(role="user", content=piece),))
        said = None if answer is None else is_unsafe(answer, options)
        if said is not False:
            return said
    return False


async def _answer(worker: Supervisor, messages: tuple[Message, ...]) -> str | None:
    if not fits_line(_SAMPLING, messages, None):
        return None
    stream = await worker.open(_SAMPLING, messages, None)
    if isinstance(stream, Unavailable):
        return None
    try:
        return await _whole(stream)
    finally:
        stream.abandon()


async def _whole(stream: Stream) -> str | None:
    said: list[str] = []
    while True:
        for item in await stream.receive():
            if isinstance(item, Chunk):
                said.append(item.text)
            else:
                return "".join(said) if isinstance(item, End) else None
