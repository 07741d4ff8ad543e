"""A key that floods holds up neither other tenants nor its own end."""

from __future__ import annotations

from corral.core.ids import TenantName
from corral.gateway.side_pace import PER_MINUTE, URGENT, SidePace
from corral.tenancy.permissions import Permission


def test_what_ends_a_key_has_a_rate_of_its_own() -> None:
    pace, acme = SidePace(), TenantName("acme")
    for _ in range(PER_MINUTE):
        pace.refusal(acme, Permission.MODEL_LIST)
    for permission in set(Permission) - URGENT:
        refused = pace.refusal(acme, permission)
        assert refused is not None
        assert refused.code == "rate_limit_exceeded"
    for permission in URGENT:
        assert pace.refusal(acme, permission) is None
    assert pace.refusal(TenantName("bolt"), Permission.MODEL_LIST) is None
    # These are bounded, too.
    assert any(pace.refusal(acme, Permission.KEY_REVOKE) for _ in range(PER_MINUTE))
