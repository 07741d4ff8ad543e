"""What requests leave in the audit log, by a whole gateway over TLS."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import openai
import pytest

from corral.audit.reading import read_records
from corral.audit.record import Record
from corral.audit.selection import Wanted
from corral.audit.whole import verify_log
from corral.core.ids import TenantName
from corral.gateway.prompt_digest import prompt_digest
from corral.gateway.schemas.chat import parse_chat
from corral.pki.master_key import load_master_key
from corral.tenancy.data_keys import DataKeys
from corral.tenancy.keys import create_key
from tests.unit.gateway.conftest import Served

CANARY = "canary-4711 of acme"
MESSAGES: list[dict[str, str]] = [{"role": "user", "content": CANARY}]


def records(served: Served, count: int) -> list[Record]:
    """Return the records of the gateway once there are so many."""
    deadline = time.monotonic() + 20
    while True:
        found = [r for r in read_records(served.home, Wanted()) if r.chain == "gateway"]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def ask(served: Served, tenant: str, model: str = "tiny", **options: object) -> object:
    return served.client(tenant).chat.completions.create(
        model=model, messages=MESSAGES, max_tokens=4, **options
    )  # type: ignore[call-overload]


@pytest.mark.claim("AUD-04")
@pytest.mark.claim("AUD-07")
def test_requests_and_their_digests(start: Callable[..., Served]) -> None:
    served = start()
    ask(served, "acme")
    ask(served, "acme")
    ask(served, "default")
    found = records(served, 6)
    begins = [r for r in found if r.kind == "begin"]
    ends = {r.id: r for r in found if r.kind == "end"}
    assert [r.tenant for r in begins] == ["acme", "acme", "default"]
    for begin in begins:
        assert (begin.action, begin.model, begin.address) == (
            "completion:create",
            "tiny",
            "127.0.0.1",
        )
        assert (begin.sha256, len(begin.key) > 4) == (f"{0:064x}", True)
        assert (ends[begin.id].status, ends[begin.id].code) == (200, "ok")
    # One prompt of one tenant has one digest; of two tenants, two: nobody can compare them.
    one, two, other = (begin.prompt for begin in begins)
    assert one == two != other
    # The control: whoever has the tenant's key can check a guess.
    keys = DataKeys(served.home.database, load_master_key(served.home))
    body = b'{"model":"tiny","messages":[{"role":"user","content":"%s"}]}' % CANARY.encode()
    guess = parse_chat(body, max_tokens=1024)
    digests = [prompt_digest(keys.audit_key(TenantName(t)), guess) for t in ("acme", "default")]
    keys.close()
    assert digests == [one, other]
    raw = b"".join(path.read_bytes() for path in served.home.state.glob("audit-*"))
    assert begins[0].id.encode() in raw, "the search finds what is there"
    assert CANARY.encode() not in raw
    assert served.keys["acme"].encode() not in raw
    gateway, _ = verify_log(served.home)
    assert gateway.faults == []


@pytest.mark.claim("AUD-05")
def test_refusals_are_on_record_and_strangers_within_bounds(start: Callable[..., Served]) -> None:
    served = start()
    with pytest.raises(openai.NotFoundError):
        ask(served, "acme", model="slow")
    with served.http() as stranger:
        for _ in range(70):
            assert stranger.get("/v1/models").status_code == 401
        assert stranger.get("/v1/models", headers=served.bearer("acme")).status_code == 200
        assert stranger.get("/admin/v1/host", headers=served.bearer("acme")).status_code == 403
    found = records(served, 63)
    (unknown,) = [r for r in found if r.code == "model_not_found"]
    assert (unknown.kind, unknown.tenant, unknown.status) == ("request", "acme", 404)
    refused = [r for r in found if r.status == 401]
    assert {(r.tenant, r.key, r.code) for r in refused} == {("", "", "invalid_api_key")}
    assert 60 <= len(refused) < 70
    assert [(r.tenant, r.action) for r in found if r.status == 200] == [("acme", "model:list")]
    assert [r.tenant for r in found if r.status == 403] == ["acme"]


@pytest.mark.claim("AUD-04")
def test_without_a_record_nothing_is_answered(
    start: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = start()
    served.keys["acme-admin"], _ = create_key(
        served.home.database,
        served.home.pepper.read_bytes(),
        tenant="acme",
        name="n",
        role="tenant-admin",
    )

    def refuse(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch, served.http() as http:
        patch.setattr(os, "fdatasync", refuse)
        with pytest.raises(openai.InternalServerError) as caught:
            ask(served, "acme")
        assert caught.value.code == "audit_unavailable"
        assert served.launcher.started == [], "no engine was asked"
        offer = {"to": "default", "model": "tiny"}
        offered = http.post("/admin/v1/shares", headers=served.bearer("acme-admin"), json=offer)
        assert (offered.status_code, offered.json()["error"]["code"]) == (503, "audit_unavailable")
        listed = http.get("/v1/models", headers=served.bearer())
        assert (listed.status_code, listed.headers["retry-after"]) == (503, "5")
        assert http.get("/readyz").status_code == 503
        assert http.get("/v1/models").status_code == 401
    deadline = time.monotonic() + 20
    while verify_log(served.home)[0].last == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ask(served, "acme")  # the control: it was the disk
    with served.http(headers=served.bearer("acme-admin")) as http:
        assert http.get("/admin/v1/shares").json()["data"] == [], "nothing was changed"
        assert http.post("/admin/v1/shares", json=offer).status_code < 300
    (begin,) = [r for r in records(served, 4) if (r.kind, r.action) == ("begin", "model:share")]
    assert begin.arguments == {"method": "POST"}
    ends: list[Record] = []
    while not ends:
        assert time.monotonic() < deadline + 20
        ends = [r for r in records(served, 5) if r.kind == "end" and r.id == begin.id]
    (end,) = ends
    assert (end.model, end.arguments) == (
        "tiny", {"method": "POST", "from": "acme", "to": "default"}
    )  # fmt: skip


def test_a_client_that_goes_away_has_its_end(start: Callable[..., Served]) -> None:
    served = start()
    stream = served.client("default").chat.completions.create(
        model="slow", messages=MESSAGES, stream=True, max_tokens=64
    )  # type: ignore[call-overload]
    next(iter(stream))
    stream.close()
    begin, end = records(served, 2)
    assert (begin.kind, end.kind, end.id) == ("begin", "end", begin.id)
    assert end.code == "cancelled"
