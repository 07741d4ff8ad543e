"""How often a tenant may ask for anything but an answer of a model: lists, shares, what is shown.

Trust: gateway [net]. Input: names of tenants that authentication has proved. The pipeline has its
own limits; without these a single key could ask for lists without end, and each success, and each
change, is a record of the audit log that waits for the disk.
"""

from __future__ import annotations

import time
from typing import Final

from corral.core.ids import TenantName
from corral.gateway.errors import ApiError
from corral.tenancy.gcra import RateLimit
from corral.tenancy.permissions import Permission

PER_MINUTE: Final = 600
_BURST: Final = 120
URGENT: Final = frozenset({
    Permission.KEY_REVOKE, Permission.TENANT_FREEZE, Permission.TENANT_WIPE,
})  # fmt: skip
_SECOND_NS: Final = 1_000_000_000


class SidePace:
    """Every tenant's rate of such requests. For one event loop."""

    def __init__(self) -> None:
        self._rates: dict[tuple[TenantName, bool], RateLimit] = {}

    def refusal(self, tenant: TenantName, permission: Permission) -> ApiError | None:
        """Count one request; return why it is one too many, or None.

        What ends a key or a tenant's work has a rate of its own: a key that floods must not hold up
        its own end.
        """
        which = (tenant, permission in URGENT)
        rate = self._rates.get(which)
        if rate is None:
            rate = self._rates[which] = RateLimit(per_minute=PER_MINUTE, burst=_BURST)
        wait_ns = rate.admit(time.monotonic_ns())
        if not wait_ns:
            return None
        return ApiError(
            429, "rate_limit_exceeded", f"over {PER_MINUTE} such requests per minute",
            "rate_limit_error", retry_after_s=max(1, -(-wait_ns // _SECOND_NS)),
        )  # fmt: skip
