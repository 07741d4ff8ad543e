"""No credential gives away over HTTP what it has not itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.tenancy.delegation import check_delegation, check_reach_of_role, reach, reaches
from corral.tenancy.permissions import ROLES, CredentialKind, Permission, Role, permitted
from corral.tenancy.principal import Principal

NAMES = ("acme", "bolt")
MODELS = ("a", "b", "c")
KINDS: tuple[CredentialKind, ...] = ("api-key", "oidc", "mtls")
MOMENTS = st.none() | st.integers(1_800_000_000, 1_800_000_009)
SOME_SCOPES = st.none() | st.frozensets(st.sampled_from([str(one) for one in Permission]))
SOME_MODELS = st.none() | st.frozensets(st.sampled_from(MODELS))

ACTORS = st.builds(
    Principal, key_id=st.just(1), key_prefix=st.just("abcdefgh"),
    tenant=st.sampled_from(NAMES).map(TenantName), role=st.sampled_from(ROLES),
    models=st.just(frozenset({"*"})), expires_at=MOMENTS, credential=st.sampled_from(KINDS),
    scopes=SOME_SCOPES, only_models=SOME_MODELS,
)  # fmt: skip


def actor(role: Role, **changes: object) -> Principal:
    fields: dict[str, object] = {
        "key_id": 1, "key_prefix": "abcdefgh", "tenant": TenantName("acme"), "role": role,
        "models": frozenset({"*"}), **changes,
    }  # fmt: skip
    return Principal(**fields)  # type: ignore[arg-type]


def allowed(who: Principal, **key: object) -> bool:
    asked: dict[str, object] = {
        "tenant": "acme", "role": "user", "scopes": None, "models": None, "expires_at": None, **key,
    }  # fmt: skip
    try:
        check_delegation(who, **asked)  # type: ignore[arg-type]
    except CorralError as error:
        assert error.code in {"beyond_own_rights", "no_such_tenant"}
        return False
    return True


@pytest.mark.claim("PERM-05")
@given(
    who=ACTORS, tenant=st.sampled_from(NAMES), role=st.sampled_from(ROLES), scopes=SOME_SCOPES,
    models=SOME_MODELS, ends=MOMENTS,
)  # fmt: skip
def test_a_key_never_has_what_its_maker_has_not(
    who: Principal,
    tenant: str,
    role: Role,
    scopes: frozenset[str] | None,
    models: frozenset[str] | None,
    ends: int | None,
) -> None:
    expires_at = None if ends is None else datetime.fromtimestamp(ends, UTC)
    if not allowed(
        who, tenant=tenant, role=role, scopes=scopes, models=models, expires_at=expires_at
    ):
        return
    made = Principal(
        key_id=2, key_prefix="bcdefghi", tenant=TenantName(tenant), role=role,
        models=frozenset({"*"}), expires_at=ends, scopes=scopes, only_models=models,
    )  # fmt: skip
    for permission in Permission:
        assert not made.may(permission) or who.may(permission)
    for model in MODELS:
        assert not made.may_use(model) or who.may_use(model)
    for name in NAMES:
        assert not reaches(made, name) or reaches(who, name)
    assert who.expires_at is None or (ends is not None and ends <= who.expires_at)
    assert made.role in {"user", "tenant-admin"}


@pytest.mark.claim("PERM-05")
def test_what_is_allowed_and_each_way_beyond_it() -> None:
    admin = actor("tenant-admin")
    assert allowed(admin), "the control"
    assert allowed(admin, role="tenant-admin")
    assert allowed(actor("operator"), tenant="bolt", role="tenant-admin")
    assert not allowed(admin, tenant="bolt")
    assert not allowed(admin, role="operator")
    # As an auditor these very scopes would reach every tenant's keys and usage.
    assert not allowed(admin, role="auditor", scopes={"usage:read", "key:list"})
    assert permitted("tenant-admin", "api-key", "usage:read"), "though it has them itself"
    assert not allowed(actor("operator"), role="operator")
    assert not allowed(actor("user"), scopes=set(), role="tenant-admin", tenant="bolt")
    narrowed = actor("tenant-admin", scopes=frozenset({"key:create", "model:list"}))
    assert not allowed(narrowed)
    assert allowed(narrowed, scopes={"model:list"})
    some = actor("tenant-admin", only_models=frozenset({"a"}))
    assert not allowed(some)
    assert not allowed(some, models={"a", "b"})
    assert allowed(some, models={"a"})
    ending = actor("tenant-admin", expires_at=1_800_000_000)
    late, early = (datetime.fromtimestamp(s, UTC) for s in (1_800_000_001, 1_800_000_000))
    assert not allowed(ending)
    assert not allowed(ending, expires_at=late)
    assert allowed(ending, expires_at=early)


@pytest.mark.claim("PERM-06")
def test_a_request_is_confined_to_its_own_tenant_unless_its_role_sees_all() -> None:
    for role in ROLES:
        who = actor(role)
        if role in {"operator", "auditor"}:
            assert (reach(who), reach(who, "bolt")) == (None, "bolt")
            continue
        assert (reach(who), reach(who, "acme")) == ("acme", "acme")
        for other in ("bolt", "nobody"):
            with pytest.raises(CorralError, match="no such tenant") as refused:
                reach(who, other)
            assert refused.value.code == "no_such_tenant"


def test_an_operator_may_end_any_key_and_nobody_else_one_that_sees_all() -> None:
    check_reach_of_role(actor("operator"), "operator", ending=True)
    check_reach_of_role(actor("tenant-admin"), "user", ending=True)
    for who, role, ending in (
        (actor("tenant-admin"), "operator", True),
        (actor("tenant-admin"), "auditor", True),
        (actor("operator"), "operator", False),
        (actor("operator", credential="oidc"), "auditor", True),
    ):
        with pytest.raises(CorralError) as refused:
            check_reach_of_role(who, role, ending=ending)
        assert refused.value.code == "beyond_own_rights"
