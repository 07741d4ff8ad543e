"""Limits that the operator sets: checked, shown, and gone by at the next request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Engine

from corral.core.config import Limits
from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.state.database import writing
from corral.tenancy.account import Moment
from corral.tenancy.keys import create_key
from corral.tenancy.limits import Lease, Refusal, TenantLimits
from corral.tenancy.quota import KINDS, Quota, Scope
from corral.tenancy.quota_table import change_quotas, clear_quotas, find_scope, list_quotas
from corral.tenancy.rate_headers import span_text

ACME = TenantName("acme")


class Clock:
    def __init__(self) -> None:
        self.s = 1_000_000.0

    def __call__(self) -> Moment:
        return Moment(int(self.s * 1e9), self.s)


def test_every_kind_is_a_field_of_a_quota() -> None:
    assert set(KINDS) == set(Quota.__dataclass_fields__)


def test_they_are_set_shown_and_cleared(database: Path, pepper: bytes) -> None:
    _, key = create_key(database, pepper, tenant="acme", name="k")
    scope = find_scope(database, tenant="acme")
    change_quotas(database, scope, {"tokens_per_minute": 5, "weight": 3})
    change_quotas(database, scope, {"tokens_per_minute": 6})
    change_quotas(database, find_scope(database, key=str(key.id)), {"requests_per_minute": 7})
    change_quotas(database, find_scope(database, tenant="acme", model="m"), {"context_tokens": 256})
    shown = list_quotas(database, Limits(), tenant="acme")
    ours = {(q.scope, q.name): q.value for q in shown if not q.is_default}
    assert ours == {
        (Scope("acme"), "tokens_per_minute"): 6,
        (Scope("acme"), "weight"): 3,
        (Scope("acme", key_id=key.id), "requests_per_minute"): 7,
        (Scope("acme", model="m"), "context_tokens"): 256,
    }
    assert {q.name for q in shown if q.is_default} >= {"requests_per_minute", "tokens_per_day"}
    assert change_quotas(database, scope, {"weight": None}) == 1
    assert clear_quotas(database, scope) == 1
    assert find_scope(database, key=key.prefix) == Scope("acme", key_id=key.id)


@pytest.mark.parametrize(
    ("scope", "name", "value", "code"),
    [
        (Scope("acme"), "tokens_per_hour", 1, "no_such_quota"),
        (Scope("acme", key_id=1), "max_workers", 1, "quota_scope"),
        (Scope("acme", model="m"), "weight", 1, "quota_scope"),
        (Scope("acme"), "weight", 0, "quota_value"),
        (Scope("acme"), "requests_per_minute", 1 << 40, "quota_value"),
    ],
    ids=["name", "key", "model", "low", "high"],
)
def test_wrong_ones_are_refused(
    database: Path, scope: Scope, name: str, value: int, code: str
) -> None:
    with pytest.raises(CorralError) as caught:
        change_quotas(database, scope, {"requests_per_minute": 1, name: value})
    assert caught.value.code == code
    assert not [q for q in list_quotas(database, Limits()) if not q.is_default]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ({}, "quota_scope"),
        ({"key": "1", "model": "m"}, "quota_scope"),
        ({"tenant": "nobody"}, "no_such_tenant"),
        ({"key": "99"}, "no_such_key"),
    ],
    ids=["nobody", "both", "tenant", "key"],
)
def test_a_scope_that_is_none(database: Path, names: dict[str, str], code: str) -> None:
    with pytest.raises(CorralError) as caught:
        find_scope(database, **names)
    assert caught.value.code == code


@pytest.mark.claim("LIM-06")
def test_a_running_gateway_goes_by_them_at_the_next_request(database: Path) -> None:
    async def run() -> None:
        limits = TenantLimits(Limits(), database, clock=Clock())

        async def ask(tokens: int = 100, **names: object) -> Lease | Refusal:
            return await limits.acquire(ACME, tokens=tokens, **names)  # type: ignore[arg-type]

        assert isinstance(await ask(10**9), Lease)  # nothing limits tokens
        change_quotas(database, Scope("acme"), {"tokens_per_minute": 1000})
        lease = await ask(600)
        assert isinstance(lease, Lease)
        assert dict(lease.headers)[b"x-ratelimit-limit-tokens"] == b"1000"
        assert dict(lease.headers)[b"x-ratelimit-remaining-tokens"] == b"400"
        assert dict(lease.headers)[b"x-ratelimit-reset-tokens"] == b"36s"
        refused = await ask(600)
        assert isinstance(refused, Refusal)
        assert (refused.code, refused.retry_after_s, refused.retry) == (
            "token_rate_exceeded", 12, True,
        )  # fmt: skip
        lease.settle(1, 0)
        lease.settle(600, 0)
        assert isinstance(await ask(600), Lease)
        never = await ask(1001)
        assert isinstance(never, Refusal)
        assert (never.code, never.retry) == ("request_over_quota", False)
        # A key's own limit, and that of a model, come on top.
        change_quotas(database, Scope("acme", key_id=7), {"requests_per_minute": 1})
        change_quotas(database, Scope("acme", model="m"), {"tokens_per_day": 50})
        assert isinstance(await ask(1, key_id=7), Lease)
        second = await ask(1, key_id=7)
        assert isinstance(second, Refusal)
        assert "of this key" in second.message
        assert isinstance(await ask(1, key_id=8), Lease)
        assert isinstance(await ask(50, model="m"), Lease)
        spent = await ask(1, model="m")
        assert isinstance(spent, Refusal)
        assert spent.code == "token_budget_exceeded"
        assert isinstance(await ask(1, model="n"), Lease)
        change_quotas(database, Scope("acme", model="m"), {"context_tokens": 256})
        assert limits.quota(ACME, "m").context_tokens == 256
        assert limits.quota(ACME, "n").context_tokens is None
        limits.close()

    asyncio.run(run())


@pytest.mark.claim("LIM-04")
@pytest.mark.parametrize("how", ["closed", "killed"])
def test_what_was_used_is_known_to_the_next_process(
    engine: Engine, database: Path, how: str
) -> None:
    change_quotas(database, Scope("acme"), {"tokens_per_minute": 1000, "tokens_per_month": 5000})
    clock = Clock()

    async def use(tokens: int) -> Lease | Refusal:
        limits = TenantLimits(Limits(), database, clock=clock)
        got = await limits.acquire(ACME, tokens=tokens)
        if how == "closed":
            limits.close()
        return got

    assert isinstance(asyncio.run(use(900)), Lease)
    refused = asyncio.run(use(200))
    assert isinstance(refused, Refusal)
    assert refused.code == "token_rate_exceeded"
    clock.s += 60
    for _ in range(4):
        assert isinstance(asyncio.run(use(900)), Lease)
        clock.s += 120
    over = asyncio.run(use(900))
    assert isinstance(over, Refusal)
    assert over.code == "token_budget_exceeded"


@pytest.mark.claim("LIM-04")
def test_tokens_that_the_disk_does_not_take_are_not_given(engine: Engine, database: Path) -> None:
    change_quotas(database, Scope("acme"), {"tokens_per_minute": 1000})

    async def run() -> None:
        limits = TenantLimits(Limits(concurrent_requests=1), database, clock=Clock())
        assert limits.quota(ACME, "").tokens_per_minute == 1000
        with writing(engine) as connection:
            connection.exec_driver_sql("ALTER TABLE spent RENAME COLUMN level TO gone")
        for _ in range(3):  # each gives its place and its tokens back
            with pytest.raises(Exception, match="level"):
                await limits.acquire(ACME, tokens=900)

    asyncio.run(run())


def test_who_is_blocked_by_a_limit_of_his_key_holds_up_nobody_else(
    engine: Engine, database: Path
) -> None:
    change_quotas(
        database, Scope("acme", key_id=7), {"concurrent_requests": 1, "queued_requests": 1}
    )

    async def run() -> None:
        limits = TenantLimits(Limits(), database, clock=Clock())
        first = await limits.acquire(ACME, key_id=7)
        assert isinstance(first, Lease)
        waiting = asyncio.create_task(limits.acquire(ACME, key_id=7))
        await asyncio.sleep(0)
        assert isinstance(await limits.acquire(ACME, key_id=7), Refusal)
        assert isinstance(await limits.acquire(ACME, key_id=8), Lease)
        first.release()
        assert isinstance(await waiting, Lease)

    asyncio.run(run())


def test_a_limit_on_running_requests_alone_makes_others_wait(
    engine: Engine, database: Path
) -> None:
    change_quotas(database, Scope("acme", model="m"), {"concurrent_requests": 1})

    async def run() -> None:
        limits = TenantLimits(Limits(queued_requests=2), database, clock=Clock())
        first = await limits.acquire(ACME, model="m")
        assert isinstance(first, Lease)
        waiting = [asyncio.create_task(limits.acquire(ACME, model="m")) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(one.done() for one in waiting)
        full = await limits.acquire(ACME, model="m")
        assert isinstance(full, Refusal), "the tenant's own queue bounds them"
        assert full.code == "queue_full"
        first.release()
        second = await waiting[0]
        assert isinstance(second, Lease)
        second.release()
        assert isinstance(await waiting[1], Lease)
        limits.close()

    asyncio.run(run())


@pytest.mark.claim("LIM-04")
@pytest.mark.parametrize("limit", ["tokens_per_minute", "tokens_per_month"])
def test_a_limit_that_is_cleared_and_set_again_forgets_nothing(
    engine: Engine, database: Path, limit: str
) -> None:
    async def run() -> None:
        limits = TenantLimits(Limits(), database, clock=Clock())
        change_quotas(database, Scope("acme"), {limit: 1000})
        assert isinstance(await limits.acquire(ACME, tokens=900), Lease)
        change_quotas(database, Scope("acme"), {limit: None})
        assert isinstance(await limits.acquire(ACME, tokens=10**6), Lease)
        change_quotas(database, Scope("acme"), {limit: 1000})
        assert isinstance(await limits.acquire(ACME, tokens=900), Refusal)
        limits.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [(0, "0ms"), (1, "1ms"), (120_000_000, "120ms"), (1_500_000_000, "1.5s"),
     (360_000_000_000, "6m0s"), (61_000_000_000, "1m1s")],
)  # fmt: skip
def test_spans_are_written_as_openai_writes_them(span_ns: int, text: str) -> None:
    assert span_text(span_ns) == text
