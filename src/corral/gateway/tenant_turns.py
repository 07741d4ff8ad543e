"""One at a time of each tenant, whatever it sends, so that tenants take turns at what is scarce.

Trust: gateway [net]. Input: tenants that authentication has proved.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    takers: int = 0


class TenantTurns:
    """The turns of one scarce thing; for one event loop. A tenant that wants none is forgotten."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}

    @asynccontextmanager
    async def take(self, tenant: str) -> AsyncIterator[None]:
        """Hold the tenant's turn; those who wait for it get it in the order in which they came."""
        turn = self._turns.setdefault(tenant, _Turn())
        turn.takers += 1
        try:
            async with turn.lock:
                yield
        finally:
            # One who waits still has to find this lock when a new one comes.
            turn.takers -= 1
            if not turn.takers:
                del self._turns[tenant]
