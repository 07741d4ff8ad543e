"""Add, list and freeze tenants."""

import pytest
from sqlalchemy import Engine

from corral.core.errors import CorralError
from corral.tenancy.tenants import add_tenant, freeze_tenant, list_tenants


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
