"""A guard model at a running gateway: its verdict counts, and its silence refuses."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from corral.gateway.sanitation_table import set_document
from tests.unit.gateway.conftest import Served

POLICY = """
default = "own"
[policies.own]
base = "balanced"
mode = "{mode}"
options = {{guard_model = "{model}"}}
"""
Start = Callable[..., Served]


def guarded(served: Served, model: str = "warden", *, mode: str = "enforce") -> None:
    set_document(served.home.database, POLICY.format(model=model, mode=mode))


def ask(served: Served, *texts: str, tenant: str = "acme", role: str = "user") -> httpx2.Response:
    messages = [{"role": role, "content": text} for text in texts]
    if role != "user":
        messages.append({"role": "user", "content": "hello"})
    with served.http(headers=served.bearer(tenant)) as http:
        return http.post("/v1/chat/completions", json={"model": "tiny", "messages": messages})


def code(answer: httpx2.Response) -> str:
    return "ok" if answer.status_code == 200 else str(answer.json()["error"]["code"])


@pytest.mark.claim("DET-12")
def test_its_verdict_counts(start: Start) -> None:
    served = start()
    assert code(ask(served, "a bad canary")) == "ok", "the control: nobody asks it"
    guarded(served)
    refused = ask(served, "a bad canary")
    assert (refused.status_code, code(refused)) == (400, "input_rejected.guard_model_unsafe")
    assert "canary" not in refused.text
    assert code(ask(served, "hello", "bad", "hello")) == "input_rejected.guard_model_unsafe"
    assert code(ask(served, "hello")) == "ok"
    assert code(ask(served, "bad", role="system")) == "ok", "a system prompt is all instructions"
    long = "x" * 40_000 + "bad" + "x" * 40_000
    assert code(ask(served, long)) == "input_rejected.guard_model_unsafe"
    guarded(served, mode="report")
    with served.http(headers=served.bearer("admin")) as http:
        page = http.get("/metrics").text
    assert code(ask(served, "a bad canary")) == "ok", "a dry run refuses nothing"
    assert 'kind="guard_model_unsafe"' in page


@pytest.mark.claim("DET-12")
@pytest.mark.parametrize("model", ["absent", "dead", "fatal", "long", "broken", "bare", "garbage"])
def test_one_that_gives_no_verdict_refuses(start: Start, model: str) -> None:
    served = start()
    guarded(served, model)
    refused = ask(served, "hello")
    assert (refused.status_code, code(refused)) == (503, "guard_model_unavailable")
    assert model not in refused.text, "which model it is is the operator's"
    guarded(served, model, mode="report")
    assert code(ask(served, "hello")) == "ok"


@pytest.mark.claim("DET-12")
def test_an_answer_that_says_neither_refuses(start: Start) -> None:
    served = start()
    guarded(served)
    assert code(ask(served, "odd")) == "guard_model_unavailable"
    assert code(ask(served, "even")) == "ok"


@pytest.mark.claim("DET-13")
def test_each_tenant_has_a_guard_of_its_own(start: Start) -> None:
    served = start()
    guarded(served)
    for tenant in ("default", "acme"):
        assert code(ask(served, "hello", tenant=tenant)) == "ok"
    asked = [(one.tenant, one.model) for one in served.launcher.started]
    assert sorted(asked) == [
        ("acme", "tiny"), ("acme", "warden"), ("default", "tiny"), ("default", "warden"),
    ]  # fmt: skip


def test_what_was_judged_is_not_asked_again(start: Start) -> None:
    served = start()
    guarded(served)
    assert code(ask(served, "hello")) == "ok"
    assert served.launcher.started[0].model == "warden"
    served.launcher.live[min(served.launcher.live)].kill()
    assert code(ask(served, "hello")) == "ok", "known"
    with served.http(headers=served.bearer("acme")) as http:
        body = {"model": "warden", "messages": [{"role": "user", "content": "hi"}]}
        assert http.post("/v1/chat/completions", json=body).status_code == 404, "it needs no grant"
