"""What a principal may use."""

import pytest

from corral.core.ids import TenantName
from corral.tenancy.principal import Principal


@pytest.mark.parametrize(
    ("models", "model", "allowed"),
    [
        (frozenset(), "m", False),
        (frozenset({"m"}), "m", True),
        (frozenset({"m"}), "M", False),
        (frozenset({"m"}), "*", False),
        (frozenset({"*"}), "anything", True),
    ],
)
def test_only_granted_models(models: frozenset[str], model: str, allowed: bool) -> None:
    principal = Principal(
        key_id=1, key_prefix="abcdefgh", tenant=TenantName("t"), role="operator", models=models
    )
    assert principal.may_use(model) is allowed
