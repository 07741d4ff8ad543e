"""Sharing over HTTP: what two tenants can do with each other, and a third cannot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from corral.admission.catalog import Catalog
from corral.admission.derivation import AdapterRecord, Derivation, identity_of
from corral.admission.report import Finding
from corral.tenancy.grants import grant_model
from corral.tenancy.keys import create_key
from corral.tenancy.shares import list_shares
from corral.tenancy.tenants import add_tenant, freeze_tenant
from tests.support.server import wait_until
from tests.unit.gateway.conftest import Served, admit

Start = Callable[..., Served]
SHARES = "/admin/v1/shares"


@pytest.fixture
def shared(start: Start) -> Served:
    """A gateway with three tenants, each with a key that may share; acme was granted `tiny`."""
    served = start()
    pepper = served.home.pepper.read_bytes()
    for tenant in ("acme", "bolt", "chem"):
        if tenant != "acme":
            add_tenant(served.home.database, tenant)
        served.keys[tenant], _ = create_key(
            served.home.database, pepper, tenant=tenant, name="n", role="tenant-admin"
        )
    served.keys["bolt-user"], _ = create_key(
        served.home.database, pepper, tenant="bolt", name="n", role="user"
    )
    return served


def call(
    served: Served, who: str, method: str, path: str = SHARES, body: object = None
) -> tuple[int, Any]:
    with served.http(headers=served.bearer(who)) as http:
        answer = http.request(method, path, json=body)
    return answer.status_code, answer.json()


def chat_status(served: Served, who: str) -> int:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
    return call(served, who, "POST", "/v1/chat/completions", body)[0]


def code_of(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


@pytest.mark.claim("SHARE-07")
def test_a_model_is_offered_looked_at_accepted_used_and_taken_back(shared: Served) -> None:
    status, offered = call(shared, "acme", "POST", body={"model": "tiny", "to": "bolt"})
    assert (status, offered["status"], offered["from"]) == (201, "offered", "acme")
    assert chat_status(shared, "bolt-user") == 404
    (seen,) = call(shared, "bolt", "GET")[1]["data"]
    assert seen == offered
    assert seen["model_sheet"]["trust"] == "verified"
    assert seen["model_sheet"]["source"] == "file", "no path of the operator's machine"
    assert call(shared, "chem", "GET")[1]["data"] == []
    path = f"{SHARES}/{offered['id']}"
    accepted = call(shared, "bolt", "POST", f"{path}/accept", {"sha256": seen["sha256"]})
    assert (accepted[0], accepted[1]["status"]) == (200, "accepted")
    assert [chat_status(shared, who) for who in ("bolt-user", "chem")] == [200, 404]
    # It ran for the receiver: in a worker of that name, on its own record.
    assert {start.tenant for start in shared.launcher.started} == {"bolt"}
    assert wait_until(lambda: [row[0] for row in shared.usage()] == ["bolt"])
    assert call(shared, "acme", "DELETE", path)[1]["status"] == "ended"
    assert [chat_status(shared, who) for who in ("bolt-user", "acme")] == [404, 200]
    assert [start.tenant for start in shared.launcher.started] == ["bolt", "acme"]


@pytest.mark.claim("SHARE-05")
def test_what_is_others_is_like_what_is_not(shared: Served) -> None:
    _, offered = call(shared, "acme", "POST", body={"model": "tiny", "to": "bolt"})
    digest = {"sha256": offered["sha256"]}
    for number in (offered["id"], 999, 0, -1, "x", "9" * 40, "٣"):
        path = f"{SHARES}/{number}"
        answers = [
            call(shared, "chem", "POST", f"{path}/accept", digest),
            call(shared, "chem", "DELETE", path),
            call(shared, "acme", "POST", f"{path}/accept", digest),
        ]
        assert {code_of(one) for one in answers} == {(404, "share_not_found")}
        assert len({str(one) for one in answers}) == 1
    assert call(shared, "bolt", "GET")[1]["data"][0]["status"] == "offered"


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"model": "slow", "to": "bolt"}, (404, "model_not_found")),
        ({"model": "nope", "to": "bolt"}, (404, "model_not_found")),
        ({"model": "tiny", "to": "acme"}, (400, "share_with_oneself")),
        ({"model": "tiny", "to": "Not A Name"}, (400, "bad_tenant_name")),
        ({"model": "tiny"}, (400, "invalid_json")),
        ({"model": "tiny", "to": "bolt", "from": "chem"}, (400, "invalid_json")),
        ({"model": "tiny", "to": "b" * 5000}, (413, "request_too_large")),
    ],
)
def test_offers_that_are_refused(shared: Served, body: object, refusal: object) -> None:
    assert code_of(call(shared, "acme", "POST", body=body)) == refusal
    assert call(shared, "acme", "GET")[1]["data"] == []


def test_a_wrong_artifact_is_not_accepted(shared: Served) -> None:
    _, offered = call(shared, "acme", "POST", body={"model": "tiny", "to": "bolt"})
    path = f"{SHARES}/{offered['id']}/accept"
    answer = call(shared, "bolt", "POST", path, {"sha256": "f" * 64})
    assert code_of(answer) == (409, "share_changed")
    assert chat_status(shared, "bolt-user") == 404


def test_a_user_may_not_share(shared: Served) -> None:
    answer = call(shared, "bolt-user", "POST", body={"model": "tiny", "to": "acme"})
    assert code_of(answer) == (403, "permission_denied")
    assert code_of(call(shared, "bolt-user", "GET")) == (403, "permission_denied")


@pytest.mark.claim("SHARE-08")
def test_a_key_that_is_taken_away_while_its_body_comes_changes_nothing(shared: Served) -> None:
    def body() -> Iterator[bytes]:
        yield b'{"model": "tiny",'
        time.sleep(0.3)  # the gate has let it in by now
        freeze_tenant(shared.home.database, "acme")
        yield b' "to": "bolt"}'

    with shared.http(headers=shared.bearer("acme")) as http:
        answer = http.post(SHARES, content=body())
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert list_shares(shared.home.database) == ()
    freeze_tenant(shared.home.database, "acme", frozen=False)
    offered = call(shared, "acme", "POST", body={"model": "tiny", "to": "bolt"})
    assert offered[0] == 201, "the control"


@pytest.mark.claim("DRV-04")
def test_a_derived_model_is_shown_as_such_and_shared_by_itself(shared: Served) -> None:
    base = Catalog(
        shared.home.database, shared.home.receipt_public_key.read_bytes()
    ).entries()["tiny"].receipt  # fmt: skip
    derivation = Derivation(
        base="tiny", template_sha256=base.template.sha256, base_template="passed",
        base_template_sha256="e" * 64, adapter=AdapterRecord(
            digest="f" * 64, size_bytes=7, scale=500, source="file:///home/me/a.gguf",
            findings=(Finding("template_note", "info", "m"),),
        ),
    )  # fmt: skip
    admit(shared.home, "house", digest=base.digest, derivation=derivation)
    shared.launcher.modes["house"] = "echo"
    grant_model(shared.home.database, "acme", "house")
    for model in ("tiny", "house"):
        assert call(shared, "acme", "POST", body={"model": model, "to": "bolt"})[0] == 201
    plain, derived = call(shared, "bolt", "GET")[1]["data"]
    assert plain["model_sheet"]["derived"] is None
    assert derived["model_sheet"]["derived"] == {
        "base": "tiny", "base_sha256": base.digest, "template_sha256": base.template.sha256,
        "template_override": True,
        "adapter": {
            "sha256": "f" * 64, "size_bytes": 7, "scale": 0.5, "source": "file", "signers": [],
            "findings": [{"rule": "template_note", "severity": "info"}],
        },
        "projector": None,
    }  # fmt: skip
    assert plain["sha256"] == base.digest != derived["sha256"]
    # What is shown is what the identity is made of, as docs/derived-models.md says.
    told = derived["model_sheet"]["derived"]
    made = (told["base_sha256"], told["template_sha256"], derivation)
    assert identity_of(*made) == derived["sha256"]
    # Having looked at the base is not having looked at this one.
    path = f"{SHARES}/{derived['id']}/accept"
    refused = call(shared, "bolt", "POST", path, {"sha256": plain["sha256"]})
    assert code_of(refused) == (409, "share_changed")
    call(shared, "bolt", "POST", f"{SHARES}/{plain['id']}/accept", {"sha256": plain["sha256"]})
    body = {"messages": [{"role": "user", "content": "x"}]}

    def status(who: str, model: str) -> int:
        return call(shared, who, "POST", "/v1/chat/completions", body | {"model": model})[0]

    assert [status("bolt-user", one) for one in ("tiny", "house")] == [200, 404]
    call(shared, "bolt", "POST", path, {"sha256": derived["sha256"]})
    assert status("bolt-user", "house") == 200
    # Same file, same tenant, same template: two workers all the same.
    asked = [(one.model, one.adapter, one.adapter_scale) for one in shared.launcher.started]
    assert asked == [("tiny", "", 0), ("house", "f" * 64, 500)]
