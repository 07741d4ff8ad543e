"""Grant and revoke models."""

from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.tenancy.grants import grant_model, list_grants, revoke_grant


def test_grants_are_listed_and_idempotent(database: Path) -> None:
    grant_model(database, "acme", "*")
    grant_model(database, "acme", "Some.Model:1")
    grant_model(database, "acme", "*")
    assert [(g.tenant, g.model) for g in list_grants(database)] == [
        ("acme", "*"),
        ("acme", "Some.Model:1"),
    ]
    assert list_grants(database, tenant="other") == ()
    revoke_grant(database, "acme", "*")
    assert [g.model for g in list_grants(database, tenant="acme")] == ["Some.Model:1"]


@pytest.mark.parametrize(
    ("tenant", "model", "code"),
    [
        ("nobody", "m", "no_such_tenant"),
        ("No Body", "m", "bad_tenant_name"),
        ("acme", "../x", "bad_model_name"),
        ("acme", "**", "bad_model_name"),
    ],
)
def test_refusals(database: Path, tenant: str, model: str, code: str) -> None:
    with pytest.raises(CorralError) as refused:
        grant_model(database, tenant, model)
    assert refused.value.code == code


def test_an_unknown_grant_cannot_be_revoked(database: Path) -> None:
    with pytest.raises(CorralError) as refused:
        revoke_grant(database, "acme", "m")
    assert refused.value.code == "no_such_grant"
