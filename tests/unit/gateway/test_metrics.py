"""/metrics: the operator reads counts there, and no one anything of a tenant."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from corral.core.config import DEGRADABLE
from corral.gateway.metrics_page import FAMILIES, KINDS, STATES, Facts, render_page
from corral.guard.kinds import KINDS as FOUND
from corral.telemetry.metrics import (
    HANDLINGS,
    MODES,
    REJECTED,
    ROUTES,
    STAGES,
    TOKENS,
    TRACES_DROPPED,
    UNLOADED,
    Metrics,
)
from corral.telemetry.tally import OTHER, SECONDS
from tests.unit.gateway.conftest import Served

DOCS = Path(__file__).parents[3] / "docs"
CANARY = "quokka-7731-canary"
CODES = {
    "ok", "cancelled",
    *re.findall(r"`([a-z_.]+)`", (DOCS / "errors.md").read_text(encoding="utf-8")),
}  # fmt: skip
CLOSED = {
    "route": {*ROUTES, OTHER}, "code": CODES, "stage": {*STAGES}, "kind": {*TOKENS, *KINDS, *FOUND},
    "handling": {*HANDLINGS}, "mode": {*MODES},
    "reason": {*REJECTED, *UNLOADED, *TRACES_DROPPED}, "state": {*STATES}, "wall": {*DEGRADABLE},
    "version": {"0.1.0"}, "le": {*map(str, SECONDS), "+Inf"},
}  # fmt: skip
Sample = tuple[str, frozenset[tuple[str, str]]]


def page(served: Served) -> str:
    with served.http(headers=served.bearer("admin")) as http:
        answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=1.0.0")
    assert answer.headers["cache-control"] == "no-store"
    return answer.text


def samples(text: str) -> dict[Sample, float]:
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            found[one.name, frozenset(one.labels.items())] = one.value
    return found


def value(found: dict[Sample, float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


@pytest.mark.claim("OBS-01")
def test_the_operator_reads_the_page_and_nobody_else(served: Served) -> None:
    for tenant, status in ((None, 401), ("acme", 403), ("default", 403), ("admin", 200)):
        with served.http(headers=served.bearer(tenant) if tenant else {}) as http:
            assert http.get("/metrics").status_code == status
    with served.http(headers=served.bearer("admin")) as http:
        assert http.post("/metrics").status_code == 405


@pytest.fixture
def talkative(start: Callable[..., Served]) -> Served:
    """A gateway at which the canary was put into everything that a client can say."""
    served = start(sandbox__allow_degraded=("mdwe", "detector"))
    client = served.client("acme")
    text = f"say {CANARY}"
    client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": text}])
    for _ in client.completions.create(model="tiny", prompt=text, stream=True, user=CANARY):
        pass
    for model, tenant in ((CANARY, "acme"), ("slow", "acme"), ("dead", "default")):
        with pytest.raises(openai.APIError):
            served.client(tenant).completions.create(model=model, prompt=text)
    with served.http(headers=served.bearer()) as http:
        for path in (f"/v1/models/{CANARY}", f"/{CANARY}", f"/v1/models?{CANARY}"):
            http.get(path, headers={"x-canary": CANARY})
        http.post("/v1/completions", json={CANARY: CANARY})
        http.request(CANARY.replace("-", "").upper(), "/healthz")
        http.get("/healthz", headers={"host": f"{CANARY}.example"})
    with served.http(headers={"authorization": f"Bearer {CANARY}"}) as http:
        http.get("/metrics")
    return served


@pytest.mark.claim("OBS-02")
def test_no_text_of_a_client_is_on_the_page(talkative: Served) -> None:
    text = page(talkative)
    for secret in (CANARY, "quokka", "7731", "acme", "tiny", *talkative.keys.values()):
        assert secret not in text.lower()
    found = samples(text)
    for name, labels in found:
        if name.startswith("corral_"):
            for label, said in labels:
                assert said in CLOSED[label], (name, label, said)
    # What the search would find: the tenant's row of usage has the names.
    assert ("acme", "tiny") in {row[:2] for row in talkative.usage()}

    def answered(route: str, code: str) -> float:
        return value(found, "corral_requests_total", route=route, code=code)

    assert answered("chat", "ok") == answered("completions", "ok") == 1
    assert answered("completions", "model_not_found") == 2
    assert answered("completions", "worker_failed") == 1
    assert answered("front", "unknown_host") == 1
    assert answered("model", "model_not_found") == answered("other", "not_found") == 1
    assert answered("metrics", "invalid_api_key") == 1
    assert value(found, "corral_tokens_total", kind="prompt") == 14
    assert value(found, "corral_tokens_total", kind="cached") == 4
    assert value(found, "corral_first_event_seconds_count") == 1
    assert value(found, "corral_queue_wait_seconds_count", stage="lease") == 3
    assert value(found, "corral_requests_running") == 0
    assert value(found, "corral_worker_starts_total") == 2
    assert value(found, "corral_worker_crashes_total", code="worker_failed") == 1
    assert value(found, "corral_worker_load_seconds_count") == 2
    assert value(found, "corral_workers", state="ready") == 1
    assert value(found, "corral_worker_memory_bytes", kind="engine") > 1_000_000
    assert value(found, "corral_usage_healthy") == 1
    assert value(found, "corral_degraded_wall", wall="mdwe") == 1
    assert value(found, "corral_connections") >= 1
    assert value(found, "corral_gateway_cpu_seconds_total") > 0


@pytest.mark.claim("OBS-02")
def test_the_document_lists_every_family_and_label() -> None:
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(corral_\w+)` \| (\w+) \| (.*?) \|", text, re.MULTILINE)
    listed = {(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    made = {
        (one.name + ("_total" if one.kind == "counter" else ""), one.kind, one.labels)
        for one in FAMILIES
    }
    assert listed == made
    for values in (ROUTES, REJECTED, STAGES, TOKENS, UNLOADED, TRACES_DROPPED, STATES, KINDS):
        assert all(f"`{one}`" in text for one in values)
    assert set(CLOSED) - {"le"} == {label for one in FAMILIES for label in one.labels}


def test_a_launcher_that_does_not_answer_leaves_a_gap() -> None:
    facts = Facts(
        workers={}, memory=None, usage_healthy=False, usage_dropped=3, degraded=()
    )  # fmt: skip
    text = render_page(Metrics(), facts).decode()
    assert "corral_worker_memory_bytes{" not in text
    assert "\ncorral_usage_healthy 0.0\n" in text
    assert "\ncorral_usage_dropped_rows_total 3.0\n" in text
