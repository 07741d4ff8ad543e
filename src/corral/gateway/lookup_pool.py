"""Threads for what is only looked up or looked at: no tenant can take them all, no change waits.

Trust: gateway [net]. Input: tenants that authentication has proved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from corral.core.ids import TenantName
from corral.state.transaction import LONGEST_S

_THREADS: Final = 2
_T = TypeVar("_T")


class LookupPool:
    """Runs one look of a tenant after the other. For one event loop.

    Args:
        longest_s: so long a look at the database may keep a thread; it is then cut off.
    """

    def __init__(self, longest_s: float = 5.0) -> None:
        # Each thread has a context of its own, which its looks share.
        self._pool = ThreadPoolExecutor(
            _THREADS, "lookup", initializer=LONGEST_S.set, initargs=(longest_s,)
        )
        self._turns: dict[TenantName, asyncio.Lock] = {}

    async def run(self, tenant: TenantName, work: Callable[[], _T]) -> _T:
        """Return what `work` returns, once the tenant's earlier looks have ended."""
        async with self._turns.setdefault(tenant, asyncio.Lock()):
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Stop; a look that runs ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
