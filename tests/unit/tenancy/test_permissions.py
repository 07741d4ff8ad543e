"""Who may do what: the whole table, told a second time; and that nothing else passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.ids import TenantName
from corral.tenancy.permissions import ROLES, RULES, Permission, permissions_of, permitted
from corral.tenancy.principal import Principal

O, A, U, R = "operator", "tenant-admin", "user", "auditor"  # noqa: E741 - a table reads better
EXPECTED: dict[str, set[str]] = {
    "completion:create": {O, A, U},
    "completion:read": {O, A, U},
    "completion:delete": {O, A, U},
    "model:list": {O, A, U},
    "model:share": {O, A},
    "key:create": {O, A},
    "key:list": {O, A, R},
    "key:rotate": {O, A},
    "key:revoke": {O, A},
    "tenant:add": {O},
    "tenant:list": {O, R},
    "tenant:show": {O, R},
    "tenant:freeze": {O},
    "tenant:thaw": {O},
    "tenant:wipe": {O},
    "tenant:remove": {O},
    "grant:list": {O, A, R},
    "grant:change": {O},
    "quota:show": {O, A, R},
    "quota:set": {O},
    "usage:read": {O, A, U, R},
    "usage:read-all": {O, R},
    "audit:read": {O, R},
    "host:read": {O},
    "metrics:read": {O, R},
    "sanitation:read": {O, A},
}
NOT_BY_OIDC = {"tenant:wipe", "tenant:remove"}
KINDS = ("api-key", "oidc", "mtls")


def test_no_permission_is_without_a_test_and_none_without_a_rule() -> None:
    assert set(EXPECTED) == set(Permission) == set(RULES)


@pytest.mark.claim("PERM-01")
@pytest.mark.parametrize("permission", sorted(EXPECTED))
def test_each_role_and_kind_has_exactly_what_the_table_says(permission: str) -> None:
    for role in ROLES:
        for kind in KINDS:
            right = role in EXPECTED[permission] and (
                kind != "oidc" or permission not in NOT_BY_OIDC
            )
            assert permitted(role, kind, permission) is right, (role, kind)


@pytest.mark.claim("PERM-01")
@given(role=st.text(), kind=st.text(), permission=st.text())
def test_what_is_unknown_is_denied(role: str, kind: str, permission: str) -> None:
    assert not permitted(role, "api-key", "host:read") or role == "operator"
    assert not permitted("operator", kind, "host:read") or kind in KINDS
    assert not permitted("operator", "api-key", permission) or permission in EXPECTED
    assert permitted("operator", "api-key", "host:read")  # the control


@pytest.mark.claim("KEY-09")
@given(role=st.sampled_from(ROLES), scopes=st.none() | st.frozensets(st.sampled_from(Permission)))
def test_scopes_only_take_away(role: str, scopes: frozenset[str] | None) -> None:
    principal = Principal(
        key_id=1, key_prefix="abcdefgh", tenant=TenantName("t"), role=role,  # type: ignore[arg-type]
        models=frozenset(), scopes=scopes,
    )  # fmt: skip
    may = {one for one in Permission if principal.may(one)}
    assert may == permissions_of(role) & (permissions_of(role) if scopes is None else scopes)
