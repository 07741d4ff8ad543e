"""Sums of usage."""

from datetime import UTC, datetime
from pathlib import Path

from corral.core.ids import TenantName
from corral.tenancy.ledger import Ledger, UsageRecord
from corral.tenancy.usage import sum_usage


def test_sums_by_tenant_model_and_time(database: Path) -> None:
    ledger = Ledger(database)
    for tenant, model, ts_ms in (("acme", "m", 1000), ("acme", "m", 9000), ("beta", "n", 9000)):
        ledger.settle(
            UsageRecord(
                tenant=TenantName(tenant), key_id=1, model=model, prompt_tokens=1,
                completion_tokens=2, cached_tokens=0, status="ok", duration_ms=1, ts_ms=ts_ms,
            )
        )  # fmt: skip
    ledger.close()
    assert [(t.tenant, t.model, t.requests) for t in sum_usage(database)] == [
        ("acme", "m", 2),
        ("beta", "n", 1),
    ]
    late = sum_usage(database, tenant="acme", since=datetime.fromtimestamp(5, UTC))
    assert [t.completion_tokens for t in late] == [2]
    assert sum_usage(database, tenant="nobody") == ()
