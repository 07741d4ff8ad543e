"""How many bodies are read at the same time, and how many of them for one tenant.

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


class Uploads:
    """Places for bodies of at most `body_bytes` each.

    A tenant may have half as many as are free, and one always: however many tenants take all they
    can get, something is left for the next one.
    """

    def __init__(self, body_bytes: int) -> None:
        self.places = max(8, _TOGETHER_BYTES // body_bytes)
        self._taken: dict[TenantName, int] = {}

    def full(self, tenant: TenantName) -> bool:
        """Return whether there is no place for one more body of a tenant."""
        free = self.places - sum(self._taken.values())
        return free <= 0 or self._taken.get(tenant, 0) >= max(1, free // 2)

    @contextmanager
    def place(self, tenant: TenantName) -> Iterator[None]:
        """Hold a place while the block runs; ask `full` before."""
        self._taken[tenant] = self._taken.get(tenant, 0) + 1
        try:
            yield
        finally:
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]
