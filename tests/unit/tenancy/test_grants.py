"""Grant and revoke models."""

import pytest
from sqlalchemy import Engine

from corral.core.errors import CorralError
from corral.tenancy.grants import grant_model, list_grants, revoke_grant


def test_grants_are_listed_and_idempotent(engine: Engine) -> None:
    grant_model(engine, "acme", "*")
    grant_model(engine, "acme", "Some.Model:1")
    grant_model(engine, "acme", "*")
    assert [(g.tenant, g.model) for g in list_grants(engine)] == [
        ("acme", "*"),
        ("acme", "Some.Model:1"),
    ]
    assert list_grants(engine, tenant="other") == ()
    revoke_grant(engine, "acme", "*")
    assert [g.model for g in list_grants(engine, tenant="acme")] == ["Some.Model:1"]


@pytest.mark.parametrize(
    ("tenant", "model", "code"),
    [
        ("nobody", "m", "no_such_tenant"),
        ("No Body", "m", "bad_tenant_name"),
        ("acme", "../x", "bad_model_name"),
        ("acme", "**", "bad_model_name"),
    ],
)
def test_refusals(engine: Engine, tenant: str, model: str, code: str) -> None:
    with pytest.raises(CorralError) as refused:
        grant_model(engine, tenant, model)
    assert refused.value.code == code


def test_an_unknown_grant_cannot_be_revoked(engine: Engine) -> None:
    with pytest.raises(CorralError) as refused:
        revoke_grant(engine, "acme", "m")
    assert refused.value.code == "no_such_grant"
