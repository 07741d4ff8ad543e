"""What the admin API leaves in the audit log, and shows of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from corral.audit.selection import Wanted, newest_records
from corral.audit.whole import verify_log
from corral.tenancy.grants import list_grants
from corral.tenancy.permissions import permissions_of
from tests.support.admin_calls import (
    call,
    code_of,
    conforms,
    staffed,
    state,
)
from tests.support.server import wait_until
from tests.unit.gateway.conftest import Served


@pytest.fixture
def served(start: Callable[..., Served]) -> Served:
    return staffed(start())


@pytest.mark.claim("AUD-10")
def test_a_change_by_http_is_on_record_with_what_it_does_and_without_secrets(
    served: Served,
) -> None:
    made = call(served, "admin", "POST", "/keys", {
        "tenant": "acme", "name": "words of mine", "scopes": ["model:list", "completion:create"],
    })[1]  # fmt: skip
    turned = call(served, "admin", "POST", f"/keys/{made['record']['id']}/rotate", {})[1]
    # Whole keys where ids and names belong, also without their beginning: none is used or kept.
    secret = turned["key"].removeprefix("sk-corral-")
    for text in (turned["key"], secret):
        path = f"/keys/{text}"
        assert code_of(call(served, "admin", "DELETE", path)) == (404, "no_such_key")
        for path, body in (
            ("/tenants", {"name": text}), ("/keys", {"tenant": text}),
            ("/keys", {"models": [text]}),
            ("/quotas", {"tenant": "acme", "key": text, "limits": {"weight": 1}}),
        ):  # fmt: skip
            answer = call(served, "admin", "POST", path, body)
            assert code_of(answer) == (400, "secret_in_request"), path
    call(served, "admin", "PUT", "/tenants/acme/grants/*")
    call(served, "admin", "POST", "/quotas", {"tenant": "acme", "limits": {"weight": 4}})
    folder = served.home.state

    def changes() -> list[dict[str, str]]:
        found = newest_records(folder, "gateway", Wanted(), limit=100)
        return [one.arguments for one in found.records if one.kind == "begin"]

    assert wait_until(lambda: len(changes()) == 6)
    assert changes() == [
        {"method": "POST", "role": "user", "tenant": "acme",
         "scopes": "completion:create,model:list"},
        {"method": "POST", "key": str(made["record"]["id"]), "overlap_s": "0"},
        {"method": "DELETE", "key": "?"},
        {"method": "DELETE", "key": "?"},
        {"method": "PUT", "tenant": "acme", "model": "*"},
        {"method": "POST", "tenant": "acme", "weight": "4"},
    ]  # fmt: skip
    assert list_grants(served.home.database, tenant="acme")[0].model == "*"
    text = b"".join(one.read_bytes() for one in folder.glob("audit-*"))
    for secret in (made["key"], turned["key"], "words of mine", served.keys["admin"]):
        assert secret.encode() not in text
    assert text.count(made["record"]["prefix"].encode()) == 2, "the ends say which key it was"
    assert served.keys["admin"].split("-")[2].encode() in text, "the control: who did it"


@pytest.mark.claim("AUD-04")
def test_a_change_that_cannot_be_recorded_is_not_made(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    before = state(served)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse)
        answer = call(served, "admin", "POST", "/tenants", {"name": "chem"})
    assert code_of(answer) == (503, "audit_unavailable")
    assert state(served) == before
    assert wait_until(
        lambda: call(served, "admin", "POST", "/tenants", {"name": "chem"})[0] == 201
    ), "the control: it was the disk"


@pytest.mark.claim("AUD-10")
def test_no_names_of_a_caller_break_the_log(served: Served) -> None:
    for limits in ({"x" * 7950: 1}, {"tenant": 5}, {"a\n": 1}, {"\u202e": 1}):
        answer = call(served, "admin", "POST", "/quotas", {"tenant": "acme", "limits": limits})
        assert code_of(answer) == (400, "invalid_json")
    many = {"scopes": sorted(permissions_of("user")) * 90, "tenant": "acme"}
    assert call(served, "admin", "POST", "/keys", many)[0] == 201, "the control"
    assert wait_until(lambda: verify_log(served.home)[0].last > 0)
    assert verify_log(served.home)[0].faults == []
    begun = newest_records(served.home.state, "gateway", Wanted(), limit=9).records
    (scopes,) = [one.arguments["scopes"] for one in begun if "scopes" in one.arguments
                 and one.kind == "begin"]  # fmt: skip
    assert scopes == ",".join(sorted(permissions_of("user")))


def test_records_are_read_page_by_page(served: Served) -> None:
    for name in ("chem", "dust", "earth"):
        assert call(served, "admin", "POST", "/tenants", {"name": name})[0] == 201
    newest = conforms("GET", "/audit", call(served, "auditor", "GET", "/audit?limit=2"))
    assert len(newest["data"]) == 2
    first = newest["next_before"]
    assert first == newest["data"][0]["seq"]
    older = call(served, "auditor", "GET", f"/audit?limit=1000&before={first}")[1]
    assert older["data"][-1]["seq"] < first
    assert older["next_before"] is None
    later = datetime.now(UTC) + timedelta(days=1)
    since = later.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert call(served, "auditor", "GET", f"/audit?since={since}")[1]["data"] == []
    assert call(served, "auditor", "GET", "/audit?tenant=bolt")[1]["data"] == []
    for wrong in ("limit=0", "limit=1001", "before=-1", "since=x", "limit=1&limit=2", "nothing=1"):
        answer = call(served, "auditor", "GET", f"/audit?{wrong}")
        assert code_of(answer) == (400, "invalid_parameter"), wrong
    assert code_of(call(served, "lead", "GET", "/audit")) == (403, "permission_denied")
