"""Add, list, freeze and remove tenants."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.tenancy.grants import grant_model, list_grants
from corral.tenancy.keyring import Keyring
from corral.tenancy.keys import create_key, list_keys
from corral.tenancy.ledger import Ledger, UsageRecord
from corral.tenancy.tenants import (
    add_tenant,
    freeze_tenant,
    list_tenants,
    remove_tenant,
    show_tenant,
)


def test_added_tenants_are_listed(engine: Engine) -> None:
    added = add_tenant(engine, "beta")
    assert [tenant.name for tenant in list_tenants(engine)] == ["acme", "beta"]
    assert added in list_tenants(engine)


@pytest.mark.parametrize(
    ("name", "code"), [("acme", "tenant_exists"), ("A", "bad_tenant_name"), ("", "bad_tenant_name")]
)
def test_refusals(engine: Engine, name: str, code: str) -> None:
    with pytest.raises(CorralError) as refused:
        add_tenant(engine, name)
    assert refused.value.code == code


def test_freeze_and_thaw(engine: Engine) -> None:
    freeze_tenant(engine, "acme")
    assert list_tenants(engine)[0].frozen_at is not None
    freeze_tenant(engine, "acme", frozen=False)
    assert list_tenants(engine)[0].frozen_at is None
    with pytest.raises(CorralError) as refused:
        freeze_tenant(engine, "nobody")
    assert refused.value.code == "no_such_tenant"


def use(database: Path, key_id: int) -> None:
    """Have one request of acme on record."""
    ledger = Ledger(database)
    ledger.settle(
        UsageRecord(
            tenant=TenantName("acme"), key_id=key_id, model="m", prompt_tokens=1,
            completion_tokens=1, cached_tokens=0, status="ok", duration_ms=1, ts_ms=86_400_000,
        )
    )  # fmt: skip
    ledger.close()


def code_of(engine: Engine, name: str) -> str:
    with pytest.raises(CorralError) as refused:
        remove_tenant(engine, name)
    return refused.value.code


def test_what_a_tenant_has(engine: Engine, database: Path, pepper: bytes) -> None:
    assert show_tenant(engine, "acme")[1].last_request_at is None
    _, record = create_key(engine, pepper, tenant="acme", name="n")
    grant_model(engine, "acme", "m")
    use(database, record.id)
    tenant, has = show_tenant(engine, "acme")
    assert tenant == list_tenants(engine)[0]
    assert (has.live_keys, has.keys, has.models, has.requests) == (1, 1, ("m",), 1)
    assert has.last_request_at is not None
    assert has.last_request_at.timestamp() == 86_400
    with pytest.raises(CorralError) as refused:
        show_tenant(engine, "nobody")
    assert refused.value.code == "no_such_tenant"


@pytest.mark.claim("KEY-11")
def test_a_tenant_is_removed_for_good_but_for_its_record(
    engine: Engine, database: Path, pepper: bytes
) -> None:
    token, record = create_key(engine, pepper, tenant="acme", name="n")
    grant_model(engine, "acme", "m")
    assert code_of(engine, "acme") == "tenant_in_use"
    use(database, record.id)
    keyring = Keyring(database, pepper)
    assert keyring.authenticate(token) is not None
    assert remove_tenant(engine, "acme", sure=True).live_keys == 1
    assert keyring.authenticate(token) is None
    keyring.close()
    assert list_tenants(engine) == ()
    assert list_grants(engine) == ()
    assert [key.status() for key in list_keys(engine)] == ["revoked"]
    assert code_of(engine, "acme") == "no_such_tenant"
    for refused_of in (
        lambda: add_tenant(engine, "acme"),
        lambda: create_key(engine, pepper, tenant="acme", name="n"),
        lambda: grant_model(engine, "acme", "m"),
        lambda: freeze_tenant(engine, "acme", frozen=False),
    ):
        with pytest.raises(CorralError) as refused:
            refused_of()
        assert refused.value.code in {"tenant_name_used", "no_such_tenant"}

    add_tenant(engine, "acme", reuse=True)
    assert show_tenant(engine, "acme")[1].requests == 1
    with_new = Keyring(database, pepper)
    assert with_new.authenticate(token) is None, "the former tenant's keys stay dead"
    with_new.close()


def test_a_tenant_without_keys_and_usage_goes_without_asking(engine: Engine) -> None:
    remove_tenant(engine, "acme")
    assert list_tenants(engine) == ()
