"""The detector at a running gateway: thresholds, kinds, and what follows where it is silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from corral.gateway.sanitation_table import set_document
from corral.tenancy.keys import create_key
from tests.unit.gateway.conftest import Served

POLICY = """
default = "own"
[policies.own]
base = "{base}"
mode = "{mode}"
options = {{detector = "{detector}", spotlight = "none"{more}}}
"""
Start = Callable[..., Served]


def ask(served: Served, text: str, *, untrusted: bool = False, key: str = "") -> httpx2.Response:
    part: dict[str, Any] = {"type": "text", "text": text}
    if untrusted:
        part["untrusted"] = True
    body = {"model": "tiny", "messages": [{"role": "user", "content": [part]}]}
    headers = {"authorization": f"Bearer {key}"} if key else served.bearer()
    with served.http(headers=headers) as http:
        return http.post("/v1/chat/completions", json=body)


def code(answer: httpx2.Response) -> str:
    return "ok" if answer.status_code == 200 else str(answer.json()["error"]["code"])


def policy(
    served: Served, base: str, *, mode: str = "enforce", detector: str = "installed", more: str = ""
) -> None:
    document = POLICY.format(base=base, mode=mode, detector=detector, more=more)
    set_document(served.home.database, document)


@pytest.mark.claim("DET-01")
def test_what_a_score_leads_to(start: Start) -> None:
    served = start(guard="good")
    assert code(ask(served, "score=0.95")) == "ok", "balanced reports what users write"
    refused = ask(served, "my canary score=0.95", untrusted=True)
    assert code(refused) == "input_rejected.untrusted_injection_detected"
    assert "canary" not in refused.text
    assert code(ask(served, "score=0.6", untrusted=True)) == "ok"
    policy(served, "strict")
    assert code(ask(served, "score=0.95")) == "input_rejected.injection_detected"
    assert code(ask(served, "score=0.6")) == "ok", "what is suspected only is reported"
    policy(served, "strict", more=", block = 0.55")
    assert code(ask(served, "score=0.6")) == "input_rejected.injection_detected"
    policy(served, "strict", mode="report")
    assert code(ask(served, "score=0.95")) == "ok"
    policy(served, "strict", detector="off")
    assert code(ask(served, "score=0.95")) == "ok", "the control: nobody looks"


@pytest.mark.claim("DET-02")
def test_where_none_is_installed_the_policy_says(start: Start) -> None:
    served = start(sandbox__allow_degraded=())
    refused = ask(served, "hello")
    assert (refused.status_code, code(refused)) == (503, "detector_unavailable")
    policy(served, "balanced", detector="off")
    assert code(ask(served, "hello")) == "ok", "the control: nobody wants one"


@pytest.mark.claim("DET-02")
def test_by_the_operators_leave_it_goes_on_without(start: Start) -> None:
    served = start(sandbox__allow_degraded=("detector",))
    assert code(ask(served, "hello")) == "ok"
    policy(served, "balanced", detector="required")
    refused = ask(served, "hello")
    assert (refused.status_code, code(refused)) == (503, "detector_unavailable")
    policy(served, "strict", detector="required", mode="report")
    assert code(ask(served, "hello")) == "ok", "a dry run refuses nothing"


@pytest.mark.claim("DET-03")
@pytest.mark.parametrize("mode", ["unfit", "dies", "flood", "confused"])
def test_one_that_does_not_answer_rightly_refuses(start: Start, mode: str) -> None:
    served = start(guard=mode)
    for _ in range(2):
        refused = ask(served, "hello")
        assert (refused.status_code, code(refused)) == (503, "detector_unavailable")
    policy(served, "balanced", detector="off")
    assert code(ask(served, "hello")) == "ok", "the control: who wants none is served"


def test_it_is_started_again(start: Start) -> None:
    served = start(guard="good")
    assert code(ask(served, "score=0.95", untrusted=True)) != "ok"
    (worker,) = served.launcher.live
    served.launcher.live[worker].kill()
    deadline = time.monotonic() + 30
    while code(ask(served, f"hello {time.monotonic()}")) != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert code(ask(served, "score=0.95 again", untrusted=True)) != "ok"


@pytest.mark.claim("DET-10")
def test_clients_that_go_away_take_the_detector_from_nobody(start: Start) -> None:
    served = start(guard="slow")  # half a second for each text
    assert code(ask(served, "hello")) == "ok"
    jail = min(served.launcher.live)  # it was started before any worker
    for number in range(3):
        body = {"model": "tiny", "messages": [{"role": "user", "content": f"go {number}"}]}
        with (
            served.http(headers=served.bearer("acme"), timeout=0.2) as http,
            pytest.raises(httpx2.ReadTimeout),
        ):
            http.post("/v1/chat/completions", json=body)
        assert code(ask(served, f"stay {number}")) == "ok"
    assert jail in served.launcher.live, "it is the same one all the time"
    assert served.launcher.live[jail].poll() is None


@pytest.mark.claim("DET-04")
def test_a_score_is_remembered_for_its_tenant_alone(start: Start) -> None:
    served = start(guard="counts")  # each question has a higher score than the one before
    policy(served, "balanced", more=", flag = 0.001")
    keys = {
        tenant: create_key(
            served.home.database, served.home.pepper.read_bytes(), tenant=tenant, name="lead",
            role="tenant-admin",
        )[0]
        for tenant in ("default", "acme")
    }  # fmt: skip

    def asked(tenant: str, text: str) -> int:
        """Return how many questions the jail has had."""
        before = len(served.launcher.live)
        answer = ask(served, text, key=keys[tenant])
        assert answer.status_code == 200, answer.text
        assert len(served.launcher.live) >= before
        return int("injection_suspected" in answer.headers["x-corral-sanitation-findings"])

    assert asked("default", "the same text") == 1
    policy(served, "balanced", more=", flag = 0.015")
    told = ask(served, "the same text", key=keys["default"])
    assert "x-corral-sanitation-findings" not in told.headers, (
        "the first score, 0.01, is remembered"
    )
    assert asked("acme", "the same text") == 1, "of another tenant it is a new question: 0.02"
    assert asked("default", "another text") == 1, "the control"
