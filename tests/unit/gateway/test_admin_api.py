"""The admin API: what an operator does from afar, and what nobody else can."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from corral.gateway.app import ADDRESSES
from corral.gateway.routes import keys as keys_route
from corral.gateway.routes.quotas import LimitName
from corral.state.connection import read_rows
from corral.state.transaction import transaction
from corral.tenancy import keys as keys_table
from corral.tenancy.keys import create_key, list_keys, revoke_key
from corral.tenancy.permissions import permitted
from corral.tenancy.quota import KINDS
from corral.tenancy.tenants import add_tenant, freeze_tenant, remove_tenant
from tests.support.admin_calls import (
    ADMIN,
    call,
    code_of,
    conforms,
    key_id,
    models,
    staffed,
    state,
)
from tests.support.server import wait_until
from tests.unit.gateway.conftest import Served


@pytest.fixture
def served(start: Callable[..., Served]) -> Served:
    return staffed(start())


def test_a_tenant_lives_and_dies_by_http(served: Served) -> None:
    def do(method: str, path: str, body: object = None, shape: str = "") -> Any:
        return conforms(method, shape or path, call(served, "admin", method, path, body))

    tenant, grants = "/tenants/{tenant}", "/tenants/{tenant}/grants/{model}"
    assert do("POST", "/tenants", {"name": "chem"})["name"] == "chem"
    assert do("PUT", "/tenants/chem/grants/tiny", shape=grants)["granted"] is True
    made = do("POST", "/keys", {"tenant": "chem", "name": "ci", "models": ["tiny"]})
    served.keys["chem"] = made["key"]
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    with served.http(headers=served.bearer("chem")) as http:
        assert http.post("/v1/chat/completions", json=body).status_code == 200
        limits = {"tenant": "chem", "limits": {"tokens_per_minute": 1, "weight": 3}}
        held = do("POST", "/quotas", limits)["data"]
        assert {(one["limit"], one["value"]) for one in held if one["source"] == "set"} == {
            ("tokens_per_minute", 1), ("weight", 3),
        }  # fmt: skip
        assert http.post("/v1/chat/completions", json=body).status_code == 429
        do("POST", "/quotas", {"tenant": "chem", "limits": {"tokens_per_minute": None}})
        assert http.post("/v1/chat/completions", json=body).status_code == 200
    assert wait_until(lambda: len(served.usage()) == 2)
    (used,) = do("GET", "/usage?tenant=chem&by=tenant,key,day", shape="/usage")["data"]
    assert (used["tenant"], used["key"], used["requests"]) == ("chem", str(made["record"]["id"]), 2)
    assert do("GET", "/tenants/chem", shape=tenant)["models"] == ["tiny"]
    assert [one["name"] for one in do("GET", "/keys?tenant=chem", shape="/keys")["data"]] == ["ci"]
    assert do("GET", "/grants?tenant=chem", shape="/grants")["data"][0]["model"] == "tiny"
    assert "chem" in [one["name"] for one in do("GET", "/tenants")["data"]]

    frozen = do("POST", "/tenants/chem/freeze", shape=f"{tenant}/freeze")["frozen_at"]
    assert models(served, served.keys["chem"]) == 401
    assert do("POST", "/tenants/chem/freeze", shape=f"{tenant}/freeze")["frozen_at"] == frozen
    assert do("POST", "/tenants/chem/thaw", shape=f"{tenant}/thaw")["frozen_at"] is None
    assert models(served, served.keys["chem"]) == 200

    number = made["record"]["id"]
    turned = do("POST", f"/keys/{number}/rotate", {"overlap_s": 0}, "/keys/{key}/rotate")
    assert [models(served, one) for one in (made["key"], turned["key"])] == [401, 200]
    assert do("DELETE", f"/keys/{number}", shape="/keys/{key}")["status"] == "revoked"
    assert models(served, turned["key"]) == 401
    assert do("DELETE", "/tenants/chem/grants/tiny", shape=grants)["granted"] is False
    assert code_of(call(served, "admin", "DELETE", "/tenants/chem")) == (409, "tenant_in_use")
    assert do("DELETE", "/tenants/chem?sure=true", shape=tenant)["removed"] is True
    assert code_of(call(served, "admin", "GET", "/tenants/chem")) == (404, "no_such_tenant")


def test_energy_is_for_who_may_see_everybodys_usage(served: Served) -> None:
    """It rests on what the whole machine did, the other tenants' work in it."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    with served.http(headers=served.bearer("acme")) as http:
        assert http.post("/v1/chat/completions", json=body).status_code == 200
    assert wait_until(lambda: len(served.usage()) == 1)
    with transaction(served.home.database) as connection:
        connection.execute("UPDATE usage SET energy_uj = 2500000")

    def seen(who: str) -> object:
        return call(served, who, "GET", "/usage?tenant=acme")[1]["data"][0].get("energy_j")

    assert [seen(who) for who in ("lead", "acme", "auditor", "admin")] == [None, None, 2.5, 2.5]


@pytest.mark.claim("PERM-10")
def test_who_gets_a_former_tenants_name_sees_nothing_of_it(served: Served) -> None:
    database, pepper = served.home.database, served.home.pepper.read_bytes()
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    with served.http(headers=served.bearer("acme")) as http:
        assert http.post("/v1/chat/completions", json=body).status_code == 200
    assert wait_until(lambda: len(served.usage()) == 1)
    assert {one["name"] for one in call(served, "lead", "GET", "/keys")[1]["data"]} > {"lead"}
    remove_tenant(database, "acme", sure=True)
    with transaction(database) as connection:  # some time ago
        connection.execute("UPDATE keys SET created_at = created_at - 9 WHERE tenant = 'acme'")
        connection.execute("UPDATE usage SET ts_ms = ts_ms - 9000")
    add_tenant(database, "acme", reuse=True)
    served.keys["heir"], _ = create_key(
        database, pepper, tenant="acme", name="heir", role="tenant-admin"
    )

    def seen(who: str, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = call(served, who, "GET", path)[1]["data"]
        return found

    assert [one["name"] for one in seen("heir", "/keys")] == ["heir"]
    assert seen("heir", "/usage?since=2020-01-01T00:00:00Z") == seen("heir", "/usage") == []
    for number in {one.id for one in list_keys(database, tenant="acme")} - {key_id(served, "heir")}:
        for method, path, body in (
            ("DELETE", f"/keys/{number}", None),
            ("POST", f"/keys/{number}/rotate", {"overlap_s": 0}),
        ):
            never = path.replace(str(number), "987654")
            answer = call(served, "heir", method, path, body)
            assert code_of(answer) == (404, "no_such_key")
            assert answer == call(served, "heir", method, never, body)
    assert len(seen("auditor", "/keys?tenant=acme")) > 1, "the control: it is on record"
    assert seen("auditor", "/usage?tenant=acme")[0]["requests"] == 1


@pytest.mark.claim("PERM-09")
def test_a_replaced_secret_gives_itself_no_successor(served: Served) -> None:
    number = key_id(served, "lead")
    turned = call(served, "lead", "POST", f"/keys/{number}/rotate", {"overlap_s": 3600})[1]
    attempts: tuple[tuple[str, str, object], ...] = (
        ("POST", f"/keys/{number}/rotate", {"overlap_s": 0}),
        ("POST", "/keys", {"tenant": "acme", "name": "mine"}),
        ("POST", "/shares", {"model": "tiny", "to": "bolt"}),
        ("DELETE", f"/keys/{number}", None),
    )
    before = state(served)
    for method, path, body in attempts:
        answer = call(served, "lead", method, path, body)
        assert code_of(answer) == (403, "permission_denied"), path
    assert state(served) == before
    assert call(served, "lead", "GET", "/keys")[0] == 200, "it reads as before"
    assert models(served, served.keys["lead"]) == 200
    served.keys["successor"] = turned["key"]
    for method, path, body in attempts[1:]:  # the controls
        assert call(served, "successor", method, path, body)[0] in {200, 201}, path
    assert models(served, served.keys["lead"]) == 401


@pytest.mark.claim("KEY-12")
def test_a_wipe_by_http_ends_engines_and_destroys_the_key(served: Served) -> None:
    database = served.home.database
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    with served.http(headers=served.bearer("acme")) as http:
        assert http.post("/v1/chat/completions", json=body).status_code == 200
    wrapped = read_rows(database, "SELECT wrapped FROM tenant_keys WHERE tenant = 'acme'")[0][0]
    assert served.launcher.live, "the control: its worker runs"
    path = "/tenants/acme/wipe"
    assert code_of(call(served, "admin", "POST", path, {"confirm": "bolt"})) == (
        400,
        "not_confirmed",
    )
    assert models(served, served.keys["acme"]) == 200
    answer = conforms("POST", "/tenants/{tenant}/wipe", call(served, "admin", "POST", path,
                                                             {"confirm": "acme"}))  # fmt: skip
    assert answer == {"name": "acme", "wiped": True}
    assert not served.launcher.live  # killed, or ended by itself before that as its pipes closed
    assert models(served, served.keys["acme"]) == 401
    assert not read_rows(database, "SELECT 1 FROM tenant_keys WHERE tenant = 'acme'")
    for file in database.parent.glob(database.name + "*"):
        assert bytes(wrapped) not in file.read_bytes()
    assert models(served, served.keys["default"]) == 200


BEYOND: tuple[tuple[dict[str, object], tuple[int, str]], ...] = (
    ({"role": "operator"}, (403, "beyond_own_rights")),
    ({"role": "auditor", "scopes": ["usage:read", "key:list"]}, (403, "beyond_own_rights")),
    ({"tenant": "bolt"}, (404, "no_such_tenant")),
    ({"tenant": "nobody"}, (404, "no_such_tenant")),
    ({"scopes": ["tenant:freeze"]}, (400, "bad_scope")),
    ({"role": "chief"}, (400, "invalid_json")),
    ({"name": "x" * 65}, (400, "bad_key_name")),
    ({"models": ["Not A Name"]}, (400, "bad_model_name")),
    ({"expires_at": "2020-01-01T00:00:00Z"}, (400, "bad_expiry")),
    ({"secret": "mine"}, (400, "invalid_json")),
    ({"name": "x" * 9000}, (413, "request_too_large")),
)  # fmt: skip
"""What a tenant-admin of acme may not ask for, and what it is told."""


@pytest.mark.claim("PERM-05")
def test_a_tenant_admin_makes_no_key_beyond_its_own_rights(served: Served) -> None:
    before = state(served)
    for body, refusal in BEYOND:
        assert code_of(call(served, "lead", "POST", "/keys", body)) == refusal, body
    assert state(served) == before


@pytest.mark.claim("PERM-05")
def test_a_narrowed_key_makes_and_rotates_no_wider_one(served: Served) -> None:
    pepper, database = served.home.pepper.read_bytes(), served.home.database
    soon = datetime.now(UTC) + timedelta(hours=1)
    served.keys["narrow"], _ = create_key(
        database, pepper, tenant="acme", name="narrow", role="tenant-admin", expires_at=soon,
        scopes={"key:create", "key:rotate", "model:list"}, models={"tiny"},
    )  # fmt: skip
    create_key(database, pepper, tenant="acme", name="boss", role="operator")
    ok = {"scopes": ["model:list"], "models": ["tiny"], "expires_at": soon.isoformat()}
    late = (soon + timedelta(seconds=2)).isoformat()
    for change in ({"scopes": None}, {"models": None}, {"expires_at": None}, {"expires_at": late}):
        answer = call(served, "narrow", "POST", "/keys", {**ok, **change})
        assert code_of(answer) == (403, "beyond_own_rights"), change
    before = state(served)
    for name in ("test", "lead", "boss"):  # wider ones of the same tenant: the token would be its
        answer = call(served, "narrow", "POST", f"/keys/{key_id(served, name)}/rotate", {})
        assert code_of(answer) == (403, "beyond_own_rights"), name
    assert code_of(call(served, "lead", "DELETE", f"/keys/{key_id(served, 'boss')}")) == (
        403, "beyond_own_rights",
    )  # fmt: skip
    assert state(served) == before
    made = call(served, "narrow", "POST", "/keys", {**ok, "name": "made"})
    assert made[0] == 201, "the control"
    assert models(served, made[1]["key"]) == 200
    assert call(served, "lead", "POST", f"/keys/{key_id(served, 'test')}/rotate", {})[0] == 200


@pytest.mark.claim("PERM-07")
def test_an_operators_key_makes_none_that_outlives_its_revocation(served: Served) -> None:
    for role in ("operator", "auditor"):
        answer = call(served, "admin", "POST", "/keys", {"tenant": "admin", "role": role})
        assert code_of(answer) == (403, "beyond_own_rights")
    own = key_id(served, "first admin key")
    assert code_of(call(served, "admin", "POST", f"/keys/{own}/rotate", {})) == (
        403, "beyond_own_rights",
    )  # fmt: skip
    # The control: on the server's machine it is made, and an operator may end it from afar.
    pepper = served.home.pepper.read_bytes()
    _, record = create_key(
        served.home.database, pepper, tenant="admin", name="second", role="operator"
    )
    assert call(served, "admin", "DELETE", f"/keys/{record.prefix}")[1]["status"] == "revoked"


FOREIGN = (
    ("GET", "/keys?tenant={t}", None),
    ("GET", "/grants?tenant={t}", None),
    ("GET", "/quotas?tenant={t}", None),
    ("GET", "/usage?tenant={t}", None),
    ("POST", "/keys", {"tenant": "{t}"}),
    ("POST", "/keys/{k}/rotate", {"overlap_s": 5}),
    ("DELETE", "/keys/{k}", None),
    ("POST", "/shares/{s}/accept", {"sha256": "0" * 64}),
    ("DELETE", "/shares/{s}", None),
)
"""Whatever a tenant-admin may ask, with a name or number that is another tenant's."""


@pytest.mark.claim("PERM-06")
def test_no_address_that_names_what_may_be_anothers_is_left_out() -> None:
    """Models and stored chats have tests of their own: PERM-03 and REST-09."""
    elsewhere = {"/v1/models/{model}"} | {
        f"/v1/chat/completions/{{completion}}{rest}" for rest in ("", "/messages")
    }
    asked = {
        (method, "/admin/v1" + re.sub(r"\{[ks]\}", "{}", path.partition("?")[0]))
        for method, path, _ in FOREIGN
    }
    named = {
        (one.method, re.sub(r"\{[a-z]+\}", "{}", one.path))
        for one in ADDRESSES
        if "{" in one.path and one.path not in elsewhere
        and permitted("tenant-admin", "api-key", one.permission)
    }  # fmt: skip
    assert named <= asked
    assert len(named) == 4, "the control: two of keys, two of shares"


@pytest.mark.claim("PERM-06")
def test_each_api_with_each_foreign_id_is_like_one_that_never_was(served: Served) -> None:
    offered = call(served, "lead", "POST", "/shares", {"model": "tiny", "to": "bolt"})[1]["id"]
    bolt = next(one for one in list_keys(served.home.database) if one.name == "bolt")
    pepper = served.home.pepper.read_bytes()
    add_tenant(served.home.database, "chem")
    served.keys["stranger"], _ = create_key(
        served.home.database, pepper, tenant="chem", name="stranger", role="tenant-admin"
    )
    before = state(served)
    for method, path, body in FOREIGN:
        answers = []
        for tenant, key, share in (
            ("bolt", bolt.id, offered), ("bolt", bolt.prefix, offered), ("nobody", 987654, 987654),
            ("bolt", served.keys["bolt"], offered),
        ):  # fmt: skip

            def fill(text: str, t: object = tenant, k: object = key, s: object = share) -> str:
                return text.replace("{t}", str(t)).replace("{k}", str(k)).replace("{s}", str(s))

            asked = body and {n: fill(v) if isinstance(v, str) else v for n, v in body.items()}
            answers.append(call(served, "stranger", method, fill(path), asked))
        assert {one[0] for one in answers} == {404}, (method, path)
        assert len({str(one) for one in answers}) == 1, (method, path)
    assert state(served) == before
    # The control: of its own the same key sees and does all of that.
    mine = str(key_id(served, "stranger"))
    for method, path, body in FOREIGN[:-2]:
        own = path.replace("{t}", "chem").replace("{k}", mine)
        asked = body and {n: "chem" if v == "{t}" else v for n, v in body.items()}
        status, made = call(served, "stranger", method, own, asked)
        assert status in {200, 201}, path
        if path.endswith("/rotate"):
            served.keys["stranger"] = made["key"]


@pytest.mark.claim("PERM-06")
def test_what_is_others_is_in_no_list(served: Served) -> None:
    for path in ("/keys", "/grants", "/quotas", "/usage"):
        mine = call(served, "chief", "GET", path)
        assert mine[0] == 200
        assert {one["tenant"] for one in mine[1]["data"]} <= {"bolt"}, path
        everybody = call(served, "admin", "GET", path)[1]["data"]
        assert path == "/usage" or {one["tenant"] for one in everybody} - {"bolt"}, "the control"
    assert call(served, "auditor", "GET", "/keys?tenant=acme")[0] == 200
    assert code_of(call(served, "auditor", "POST", "/keys", {})) == (403, "permission_denied")
    assert code_of(call(served, "bolt", "GET", "/keys")) == (403, "permission_denied")
    assert call(served, "bolt", "GET", "/usage")[0] == 200


@pytest.mark.claim("PERM-08")
def test_a_key_that_is_revoked_while_its_change_waits_changes_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever holds it up after it was let in: the last word is asked under the write lock."""
    real, chief = keys_route.create_key, key_id(served, "chief")

    def late(database: Path, *args: Any, **options: Any) -> Any:
        revoke_key(database, chief)
        return real(database, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(keys_route, "create_key", late)
        assert code_of(call(served, "chief", "POST", "/keys", {})) == (401, "invalid_api_key")
    assert "key" not in {one.name for one in list_keys(served.home.database)}
    assert call(served, "lead", "POST", "/keys", {})[0] == 201, "the control: a live one makes it"


def test_a_tenant_has_so_many_keys(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_table, "LIVE_KEYS", 3)
    live = list_keys(served.home.database, tenant="acme")
    made = [call(served, "lead", "POST", "/keys", {}) for _ in range(5)]
    assert [one[0] for one in made] == [201] * (3 - len(live)) + [409] * (2 + len(live))
    assert code_of(made[-1]) == (409, "too_many_keys")
    for _ in range(6):  # those that have ended make room, and are forgotten when they are many
        last = list_keys(served.home.database, tenant="acme")[-1].id
        assert call(served, "lead", "DELETE", f"/keys/{last}")[0] == 200
        assert call(served, "lead", "POST", "/keys", {})[0] == 201
    assert len(list_keys(served.home.database, tenant="acme")) == 6


def test_moments_beyond_the_calendar(served: Served) -> None:
    for text, code in (
        ("0001-01-01T00:00:00", "invalid_json"), ("0001-01-01T00:00:00Z", "bad_expiry"),
        ("9999-12-31T23:59:59-23:59", "bad_expiry"), ("9999-12-31T23:59:59Z", "bad_expiry"),
    ):  # fmt: skip
        assert code_of(call(served, "admin", "POST", "/keys", {"expires_at": text})) == (400, code)


def test_limits_have_their_names() -> None:
    assert set(get_args(LimitName)) == set(KINDS)


@pytest.mark.claim("SHARE-08")
def test_a_key_that_is_frozen_while_its_body_comes_changes_nothing(served: Served) -> None:
    before = len(list_keys(served.home.database))

    def slowly() -> Any:
        yield b'{"name": '
        freeze_tenant(served.home.database, "acme")
        time.sleep(0.1)
        yield b'"late"}'

    with served.http(headers=served.bearer("lead")) as http:
        answer = http.post(ADMIN + "/keys", content=slowly())
    assert answer.status_code == 401
    assert len(list_keys(served.home.database)) == before
    freeze_tenant(served.home.database, "acme", frozen=False)
    assert call(served, "lead", "POST", "/keys", {"name": "late"})[0] == 201, "the control"
