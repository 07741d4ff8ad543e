"""Who lacks a permission gets nowhere, and what is somebody else's looks like nothing."""

from __future__ import annotations

import re
from typing import cast

import pytest

from corral.admission.catalog import Catalog
from corral.core.ids import TenantName
from corral.gateway.app import ADDRESSES, STRANGERS
from corral.gateway.errors import ApiError
from corral.gateway.stages import find_usable
from corral.tenancy.keys import create_key
from corral.tenancy.permissions import Permission
from corral.tenancy.principal import Principal
from tests.unit.gateway.conftest import Served

BODIES = {
    "/v1/chat/completions": {"model": "tiny", "messages": [{"role": "user", "content": "x"}]},
    "/v1/completions": {"model": "tiny", "prompt": "x"},
    "/admin/v1/shares": {"model": "none", "to": "bolt"},
    "/admin/v1/shares/7/accept": {"sha256": "0" * 64},
    "/admin/v1/tenants": {"name": "acme"},
    "/admin/v1/tenants/none/wipe": {"confirm": "none"},
    "/admin/v1/keys": {"tenant": "none", "scopes": []},
    "/admin/v1/quotas": {"tenant": "none", "limits": {}},
}


def key(served: Served, scopes: set[Permission]) -> dict[str, str]:
    """Return the headers of an operator's key of acme that is narrowed to some permissions."""
    pepper = served.home.pepper.read_bytes()
    token, _ = create_key(
        served.home.database, pepper, tenant="acme", name="n", role="operator", scopes=scopes
    )
    return {"authorization": f"Bearer {token}"}


@pytest.mark.claim("PERM-02")
def test_each_address_takes_its_permission_and_no_other(served: Served) -> None:
    for permission in {one.permission for one in ADDRESSES} - {STRANGERS}:
        assert isinstance(permission, Permission)
        with_it = key(served, {permission})
        without = key(served, set(Permission) - {permission})
        for address in (one for one in ADDRESSES if one.permission is permission):
            path = (
                address.path.replace("{model}", "tiny")
                .replace("{share}", "7")
                .replace("{completion}", "x")
                .replace("{tenant}", "none")
                .replace("{key}", "0")
            )
            body = BODIES.get(path) if address.method == "POST" else None
            # 404: there is none of that name or number; 409: there is one already
            let_in = {200, 404, 409, 503}
            for headers, status in ((without, {403}), ({}, {401}), (with_it, let_in)):
                with served.http(headers=headers) as http:
                    answer = http.request(address.method, path, json=body)
                assert answer.status_code in status, (path, answer.text)
                if answer.status_code == 403:
                    assert answer.json()["error"]["code"] == "permission_denied"


@pytest.mark.claim("PERM-02")
def test_a_body_is_not_waited_for(served: Served) -> None:
    for headers, status in ((key(served, {Permission.MODEL_LIST}), 403), ({}, 401)):
        with served.http(headers={**headers, "content-length": "100000"}) as http:
            answer = http.post("/v1/completions", content=b'{"model"' + b" " * 99992)
            assert answer.status_code == status
            assert answer.headers["connection"] == "close"


@pytest.mark.claim("PERM-03")
@pytest.mark.parametrize("way", ["detail", "chat", "text"])
def test_a_foreign_model_and_none_are_the_same_404(served: Served, way: str) -> None:
    def ask(model: str, tenant: str) -> tuple[int, dict[str, str], str]:
        with served.http(headers=served.bearer(tenant)) as http:
            if way == "detail":
                answer = http.get(f"/v1/models/{model}")
            elif way == "chat":
                chat = {"model": model, "messages": [{"role": "user", "content": "x"}]}
                answer = http.post("/v1/chat/completions", json=chat)
            else:
                answer = http.post("/v1/completions", json={"model": model, "prompt": "x"})
        headers = {k: v for k, v in answer.headers.items() if k not in {"date", "x-request-id"}}
        return answer.status_code, headers, answer.text.replace(model, "NAME")

    assert ask("slow", "acme") == ask("nope", "acme")
    assert ask("slow", "acme")[0] == 404
    assert ask("tiny", "acme")[0] == 200
    assert re.search("NAME", ask("nope", "acme")[2])


class NoCatalog:
    """Fails whoever looks something up."""

    def lookup(self, name: str) -> None:
        raise LookupError(name)


@pytest.mark.claim("PERM-03")
@pytest.mark.parametrize("model", ["tiny", "nope"], ids=["another's", "nobody's"])
def test_for_what_was_not_granted_nothing_is_looked_up(model: str) -> None:
    def who(models: frozenset[str], only: frozenset[str] | None = None) -> Principal:
        return Principal(
            key_id=1, key_prefix="abcdefgh", tenant=TenantName("t"), role="user", models=models,
            only_models=only,
        )  # fmt: skip

    catalog = cast("Catalog", NoCatalog())
    for principal in (who(frozenset({"mine"})), who(frozenset({"*"}), frozenset({"mine"}))):
        refused = find_usable(principal, model, catalog)
        assert isinstance(refused, ApiError)
        assert refused.code == "model_not_found"
        with pytest.raises(LookupError):  # the control: of a granted one it is
            find_usable(principal, "mine", catalog)


@pytest.mark.claim("AUD-09")
def test_a_tenant_has_so_many_requests_beside_the_models(served: Served) -> None:
    with served.http(headers=served.bearer("acme")) as http:
        answers = [http.get("/v1/models") for _ in range(400)]
    refused = [one for one in answers if one.status_code == 429]
    assert 0 < len(refused) < 400
    assert {one.json()["error"]["code"] for one in refused} == {"rate_limit_exceeded"}
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
    with served.http(headers=served.bearer("default")) as http:
        assert http.get("/v1/models").status_code == 200, "another tenant's rate is its own"
