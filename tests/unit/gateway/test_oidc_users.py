"""Users of an OIDC provider by a whole gateway: each is counted, limited and recorded alone."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from corral.audit.reading import read_records
from corral.audit.selection import Wanted
from corral.state.database import open_database
from corral.telemetry import log
from corral.tenancy.holder import holder_name
from corral.tenancy.issuer_keys import put_issuer_keys
from corral.tenancy.keys import create_key
from corral.tenancy.oidc_provider import parse_providers
from corral.tenancy.oidc_user import user_key, user_number
from corral.tenancy.quota_table import change_quotas, clear_quotas, find_scope
from tests.support.server import wait_until
from tests.unit.gateway.conftest import Served

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
CONTEXT = 2048
"""Tokens that a request reserves."""
TABLE: dict[str, Any] = {
    "audience": "corral", "tenant_claim": "org", "role_claim": "role", "roles": {"u": "user"},
}  # fmt: skip
TABLES = {name: TABLE | {"issuer": f"https://{name}.example"} for name in ("here", "there")}
ALICE, BOB = "subject-of-alice-4711", "subject-of-bob-4712"
KEY = ECKey.generate_key("P-256", {"kid": "k"})


class School:
    """A gateway with two providers, whose users are all of acme."""

    def __init__(self, served: Served) -> None:
        self.served, self.database = served, served.home.database
        engine = open_database(self.database)
        public = json.dumps({"keys": [KEY.as_dict(private=False)]})
        for provider in parse_providers(TABLES):
            put_issuer_keys(engine, provider, public)
        engine.dispose()
        self.key = user_key(served.home.pepper.read_bytes())
        self.alice, self.bob, self.namesake = (
            self.name("here", ALICE), self.name("here", BOB), self.name("there", ALICE),
        )  # fmt: skip

    def name(self, provider: str, subject: str) -> str:
        return holder_name(user_number(self.key, TABLES[provider]["issuer"], subject))

    def token(self, provider: str, subject: str) -> str:
        claims = {"iss": TABLES[provider]["issuer"], "aud": "corral", "org": "acme", "role": "u",
                  "sub": subject, "exp": int(time.time()) + 300}  # fmt: skip
        return jwt.encode({"alg": "ES256", "kid": "k"}, claims, KEY, algorithms=["ES256"])

    def chat(self, who: str) -> tuple[int, str]:
        """Return the status and an error's code of one chat, once it is settled."""
        provider, subject = {
            self.alice: ("here", ALICE), self.bob: ("here", BOB), self.namesake: ("there", ALICE)
        }[who]  # fmt: skip
        before = len(self.served.usage())
        bearer = {"authorization": f"Bearer {self.token(provider, subject)}"}
        with self.served.http(headers=bearer) as http:
            answer = http.post("/v1/chat/completions", json=CHAT)
        if answer.status_code != 200:
            return answer.status_code, answer.json()["error"]["code"]
        assert wait_until(lambda: len(self.served.usage()) > before)
        return 200, ""

    def admin(self, method: str, path: str, body: object = None) -> list[dict[str, Any]]:
        with self.served.http(headers=self.served.bearer("admin")) as http:
            answer = http.request(method, f"/admin/v1{path}", json=body)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])

    def kept(self) -> bytes:
        """Return every byte of the state folder: database, its log, audit chains."""
        files = sorted(self.served.home.state.rglob("*"))
        return b"".join(path.read_bytes() for path in files if path.is_file())


@pytest.fixture
def school(start: Callable[..., Served]) -> Iterator[School]:
    log._configure(logging.INFO, None)
    yield School(start(identity__oidc=TABLES))
    log._configure(logging.WARNING, None)


@pytest.mark.claim("OIDC-05")
def test_each_has_limits_of_the_own_and_the_tenants_bind_all(school: School) -> None:
    everybody = (school.alice, school.bob, school.namesake)
    assert len(set(everybody)) == 3
    assert [school.chat(who) for who in everybody] == [(200, "")] * 3, "the control"

    limit = {"tenant": "acme", "key": school.alice, "limits": {"tokens_per_day": CONTEXT + 1}}
    shown = school.admin("POST", "/quotas", limit)
    assert [(one["key"], one["value"]) for one in shown if one["key"]] == [
        (school.alice, CONTEXT + 1)
    ]
    assert school.chat(school.alice) == (200, ""), "within it"
    assert school.chat(school.alice) == (429, "token_budget_exceeded")
    assert [school.chat(who) for who in (school.bob, school.namesake)] == [(200, "")] * 2
    assert school.admin("POST", "/quotas", limit | {"limits": {"tokens_per_day": None}})
    assert school.chat(school.alice) == (200, "")

    tenant = find_scope(school.database, tenant="acme")
    change_quotas(school.database, tenant, {"tokens_per_day": CONTEXT + 1})
    assert school.chat(school.bob) == (200, ""), "within the tenant's"
    assert [school.chat(who) for who in everybody] == [(429, "token_budget_exceeded")] * 3
    clear_quotas(school.database, tenant)
    assert school.chat(school.namesake) == (200, "")

    used = school.admin("GET", "/usage?by=tenant,key")
    assert {(one["tenant"], one["key"]): one["requests"] for one in used} == {
        ("acme", school.alice): 3, ("acme", school.bob): 3, ("acme", school.namesake): 3,
    }  # fmt: skip


@pytest.mark.claim("OIDC-06")
def test_who_it_is_is_nowhere_but_by_number(
    school: School, capfd: pytest.CaptureFixture[str]
) -> None:
    assert school.chat(school.alice) == school.chat(school.bob) == (200, "")
    with school.served.http(headers={"authorization": "Bearer " + "x" * 20}) as http:
        assert http.get("/v1/models").status_code == 401
    with school.served.http(headers=school.served.bearer("admin")) as http:
        metrics = http.get("/metrics").text
    begun = [one for one in read_records(school.served.home, Wanted()) if one.kind == "begin"]
    assert [(one.tenant, one.key) for one in begun] == [
        ("acme", school.alice), ("acme", school.bob)
    ]  # fmt: skip
    kept, printed = school.kept(), capfd.readouterr()
    number = user_number(school.key, TABLES["here"]["issuer"], ALICE)
    assert number.to_bytes(8) in kept, "the search finds a row of usage"
    assert school.alice.encode() in kept, "and a line of the audit log"
    assert f'"key_prefix":"{school.alice}"' in printed.err, "and the log was on"
    everywhere = kept + (printed.out + printed.err + metrics).encode()
    for subject in (ALICE, BOB):
        inside = school.token("here", subject).split(".")[1]
        assert any(one in inside for one in in_base64(subject))
        for trace in (subject, subject.encode().hex(), inside, *in_base64(subject)):
            assert trace.encode() not in everywhere
    create_key(school.database, school.served.home.pepper.read_bytes(), tenant="acme", name=ALICE)
    assert ALICE.encode() in school.kept(), "the search finds what is planted"


def in_base64(text: str) -> list[str]:
    """Return what stands in base64 of any text that has `text` in it, whatever is before it."""
    return [
        base64.urlsafe_b64encode(b" " * shift + text.encode())[4 if shift else 0 : -4].decode()
        for shift in range(3)
    ]
