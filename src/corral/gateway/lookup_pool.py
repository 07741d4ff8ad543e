"""Threads for what is only looked up: no tenant can take them all, and no change waits for them.

Trust: gateway [net]. Input: tenants that authentication has proved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from corral.core.ids import TenantName

LONGEST_S: Final = 5.0
"""So long one look may keep a thread; it is then cut off."""
_THREADS: Final = 2
_T = TypeVar("_T")


class LookupPool:
    """Runs one look of a tenant after the other. For one event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, "lookup")
        self._turns: dict[TenantName, asyncio.Lock] = {}

    async def run(self, tenant: TenantName, work: Callable[[], _T]) -> _T:
        """Return what `work` returns, once the tenant's earlier looks have ended."""
        async with self._turns.setdefault(tenant, asyncio.Lock()):
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Stop; a look that runs ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
