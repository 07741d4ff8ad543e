"""How many bodies are read at the same time, how much of them is kept, and for whom.

Trust: gateway [net]. Input: tenants that a live key has proved. For one event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from corral.core.ids import TenantName
from corral.core.limits import MIB

_TOGETHER_BYTES: Final = 256 * MIB
"""Bodies being read, all together: a quarter of the gateway's memory limit."""
_KEPT_BYTES: Final = 64 * MIB
"""Bodies of requests that wait or run. What is made of one (parsed text, the worker's line) takes
up to six times as much, so this is three eighths of the gateway's memory limit."""


class Stock:
    """So much of something, of which each tenant may have half as much as is free.

    However many tenants take all they can get, something is left for the next one.

    Args:
        total: how much there is.
        least: what a tenant may have even where that is more than half, if it is free.
    """

    def __init__(self, total: int, least: int) -> None:
        self.total = total
        self._least = least
        self._taken: dict[TenantName, int] = {}

    def lacks(self, tenant: TenantName, amount: int = 1) -> bool:
        """Return whether a tenant may not have so much more."""
        free = self.total - sum(self._taken.values())
        most = max(self._least, free // 2)
        return amount > free or self._taken.get(tenant, 0) + amount > most

    @contextmanager
    def take(self, tenant: TenantName, amount: int = 1) -> Iterator[None]:
        """Hold so much while the block runs; ask `lacks` before."""
        self._taken[tenant] = self._taken.get(tenant, 0) + amount
        try:
            yield
        finally:
            self._taken[tenant] -= amount
            if not self._taken[tenant]:
                del self._taken[tenant]


class Uploads:
    """Every body in the house, of at most `body_bytes` each.

    Attributes:
        reading: bodies that are being read.
        kept: bytes of those whose requests wait or run.
    """

    def __init__(self, body_bytes: int) -> None:
        self.reading = Stock(max(8, _TOGETHER_BYTES // body_bytes), 1)
        self.kept = Stock(max(_KEPT_BYTES, 8 * body_bytes), body_bytes)
