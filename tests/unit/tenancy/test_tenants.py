"""Add, list, freeze and remove tenants."""

from pathlib import Path

import pytest

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


def test_added_tenants_are_listed(database: Path) -> None:
    added = add_tenant(database, "beta")
    assert [tenant.name for tenant in list_tenants(database)] == ["acme", "beta"]
    assert added in list_tenants(database)


@pytest.mark.parametrize(
    ("name", "code"), [("acme", "tenant_exists"), ("A", "bad_tenant_name"), ("", "bad_tenant_name")]
)
def test_refusals(database: Path, name: str, code: str) -> None:
    with pytest.raises(CorralError) as refused:
        add_tenant(database, name)
    assert refused.value.code == code


def test_freeze_and_thaw(database: Path) -> None:
    freeze_tenant(database, "acme")
    assert list_tenants(database)[0].frozen_at is not None
    freeze_tenant(database, "acme", frozen=False)
    assert list_tenants(database)[0].frozen_at is None
    with pytest.raises(CorralError) as refused:
        freeze_tenant(database, "nobody")
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


def code_of(database: Path, name: str) -> str:
    with pytest.raises(CorralError) as refused:
        remove_tenant(database, name)
    return refused.value.code


def test_what_a_tenant_has(database: Path, pepper: bytes) -> None:
    assert show_tenant(database, "acme")[1].last_request_at is None
    _, record = create_key(database, pepper, tenant="acme", name="n")
    grant_model(database, "acme", "m")
    use(database, record.id)
    tenant, has = show_tenant(database, "acme")
    assert tenant == list_tenants(database)[0]
    assert (has.live_keys, has.keys, has.models, has.requests) == (1, 1, ("m",), 1)
    assert has.last_request_at is not None
    assert has.last_request_at.timestamp() == 86_400
    with pytest.raises(CorralError) as refused:
        show_tenant(database, "nobody")
    assert refused.value.code == "no_such_tenant"


@pytest.mark.claim("KEY-11")
def test_a_tenant_is_removed_for_good_but_for_its_record(database: Path, pepper: bytes) -> None:
    token, record = create_key(database, pepper, tenant="acme", name="n")
    grant_model(database, "acme", "m")
    assert code_of(database, "acme") == "tenant_in_use"
    use(database, record.id)
    keyring = Keyring(database, pepper)
    assert keyring.authenticate(token) is not None
    assert remove_tenant(database, "acme", sure=True).live_keys == 1
    assert keyring.authenticate(token) is None
    keyring.close()
    assert list_tenants(database) == ()
    assert list_grants(database) == ()
    assert [key.status() for key in list_keys(database)] == ["revoked"]
    assert code_of(database, "acme") == "no_such_tenant"
    for refused_of in (
        lambda: add_tenant(database, "acme"),
        lambda: create_key(database, pepper, tenant="acme", name="n"),
        lambda: grant_model(database, "acme", "m"),
        lambda: freeze_tenant(database, "acme", frozen=False),
    ):
        with pytest.raises(CorralError) as refused:
            refused_of()
        assert refused.value.code in {"tenant_name_used", "no_such_tenant"}

    add_tenant(database, "acme", reuse=True)
    assert show_tenant(database, "acme")[1].requests == 1
    with_new = Keyring(database, pepper)
    assert with_new.authenticate(token) is None, "the former tenant's keys stay dead"
    with_new.close()


def test_a_tenant_without_keys_and_usage_goes_without_asking(database: Path) -> None:
    remove_tenant(database, "acme")
    assert list_tenants(database) == ()
