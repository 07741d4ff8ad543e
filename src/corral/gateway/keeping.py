"""Storing a completion that asked for it (`store: true`), and the thread that all such work is on.

Trust: gateway [net]. Input: sanitised text of a request and of its answer. Nothing here is touched
by a request that does not ask for it. Encryption and database run beside the event loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.gateway.ask import Ask, Said, together
from corral.gateway.errors import ApiError, bad_request
from corral.gateway.stages import Sanitised
from corral.telemetry.log import get_logger
from corral.tenancy.data_keys import DataKeys
from corral.tenancy.quota import Quota
from corral.tenancy.stored import Shelf, forget_old

_log: Final = get_logger("gateway.keeping")
_T = TypeVar("_T")
_FORGET_S: Final = 600.0

STORAGE_OFF: Final = bad_request(
    "storage_off", "the operator has not switched storage on for this tenant", "store"
)
STORAGE_FULL: Final = ApiError(
    409, "storage_full", "as much is stored as this tenant may store; delete some", param="store"
)
STORAGE_UNAVAILABLE: Final = ApiError(
    503, "storage_unavailable", "completions cannot be stored or read now", "server_error",
    retry_after_s=5,
)  # fmt: skip


class Storage:
    """What is stored of all tenants. For one event loop; `run` works beside it."""

    def __init__(self, database: Path, keys: DataKeys) -> None:
        self._database = database
        self._keys = keys
        # One thread: a list that has to decrypt much keeps others of its kind waiting, and
        # neither the loop nor what else the gateway has threads for.
        self._pool = ThreadPoolExecutor(1, "storage")
        self._ended = threading.Event()
        self._forgetter = threading.Thread(target=self._forget, name="forgetting", daemon=True)
        self._forgetter.start()

    def shelf(self, tenant: TenantName, quota: Quota) -> Shelf:
        """Return a tenant's shelf under its limits of now."""
        return Shelf(
            self._database, tenant, quota.stored_completions or 0, quota.stored_bytes or 0,
            quota.stored_days or 1,
        )  # fmt: skip

    def key(self, tenant: TenantName) -> bytes:
        """Return a tenant's key; to be asked for anew each time, since a wipe destroys it.

        Raises:
            CorralError, sqlite3.Error, OSError: as `DataKeys.storage_key`.
        """
        return self._keys.storage_key(tenant)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Return what `work` returns; it waits for its turn on the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Finish what is being stored, and stop."""
        self._ended.set()
        self._pool.shutdown()
        self._forgetter.join()

    def _forget(self) -> None:
        while not self._ended.wait(_FORGET_S):
            try:
                forget_old(self._database)
            except CorralError as error:
                _log.error("stored_not_forgotten", reason=error.code)


class Keeping:
    """One completion on its way to its tenant's shelf."""

    def __init__(self, storage: Storage, tenant: TenantName, shelf: Shelf, ask: Ask) -> None:
        self._storage = storage
        self._tenant = tenant
        self._shelf = shelf
        self._ask = ask
        self._heard = [Said()]

    def heard(self, said: Said) -> None:
        """Take a piece of a streamed answer, as the caller gets it."""
        self._heard.append(said)

    def answer(self) -> Said:
        """Return all that was heard."""
        return together(self._heard)

    async def keep(self, whole: bytes) -> ApiError | None:
        """Store the answer with what was asked; return why that failed.

        Args:
            whole: the body of the answer, as one that is not streamed has it.
        """
        answer = msgspec.json.decode(whole, type=dict[str, object])
        completion_id = str(answer["id"])
        answer["metadata"] = dict(self._ask.store or {})
        messages = [
            {"id": f"{completion_id}-{number}", "role": one.role, "content": content}
            for number, (one, content) in enumerate(self._ask.told())
        ]
        encode = msgspec.json.encode
        try:
            key = self._storage.key(self._tenant)
            await self._storage.run(
                lambda: self._shelf.put(key, completion_id, encode(answer), encode(messages))
            )
        except (CorralError, sqlite3.Error, OSError) as error:
            full = isinstance(error, CorralError) and error.code == "storage_full"
            return STORAGE_FULL if full else STORAGE_UNAVAILABLE
        return None


async def begin_keeping(storage: Storage, sanitised: Sanitised) -> Keeping | ApiError:
    """Return how to store a request's answer, or why none would be: before it is computed."""
    leased = sanitised.leased
    tenant = leased.authorised.authenticated.principal.tenant
    shelf = storage.shelf(tenant, leased.quota)
    if not shelf.count_max:
        return STORAGE_OFF
    try:
        if not await storage.run(shelf.has_room):
            return STORAGE_FULL
    except (CorralError, OSError):
        return STORAGE_UNAVAILABLE
    return Keeping(storage, tenant, shelf, sanitised.ask)
