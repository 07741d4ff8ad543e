"""The operator sees the host's facts; nobody else does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import openai
import pytest

from corral.core.config import Config, override_config
from corral.doctor.fact import Fact, Flaw, Report
from corral.doctor.survey import survey_host
from corral.gateway.host_report import parse_host_report
from tests.unit.gateway.conftest import Served

REPORT = Report(
    facts=(
        Fact("cgroup", "absent", "none", "run as root", needed=True, accepted=True),
        Fact("swap", "host-owned", "none"),
    ),
    flaws=(Flaw("CVE-1", "runc", "open", "t", ("1.0",), reached=False, meaning="m", source="s"),),
    probed_at=7,
)
TEXT = json.dumps(REPORT.document()).encode()
Start = Callable[..., Served]


def get(served: Served, path: str, tenant: str | None = None) -> tuple[int, dict[str, object]]:
    headers = served.bearer(tenant) if tenant else {}
    with served.http(headers=headers) as http:
        answer = http.get(path)
    return answer.status_code, answer.json()


@pytest.mark.claim("HOST-02")
def test_the_operator_gets_the_report_and_nobody_else(start: Start) -> None:
    served = start(host_report=TEXT)
    assert get(served, "/admin/v1/host", "admin") == (200, json.loads(TEXT))
    status, body = get(served, "/admin/v1/host", "acme")
    assert (status, body["error"]["code"]) == (403, "permission_denied")  # type: ignore[index]
    status, body = get(served, "/admin/v1/host")
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")  # type: ignore[index]
    with served.http(headers=served.bearer("admin")) as http:
        assert http.post("/admin/v1/host").status_code == 405
        assert http.get("/admin/v1/other").status_code == 404
        assert http.get("/admin/v1/host").headers["cache-control"] == "no-store"

    known = {"status": "ok", "degraded": True, "degraded_walls": ["cgroup"], "detector": "absent"}
    assert get(served, "/healthz") == (200, {"status": "ok", "degraded": True})
    assert get(served, "/healthz", "acme") == get(served, "/healthz", "admin") == (200, known)
    assert get(served, "/readyz") == (200, {"status": "ok"})


@pytest.mark.parametrize("report", [None, b"{}", b"\xff", TEXT.replace(b'"schema"', b'"other"')])
def test_without_a_report_the_worst_is_assumed(start: Start, report: bytes | None) -> None:
    served = start(host_report=report, sandbox__allow_degraded=("mdwe",))
    status, body = get(served, "/admin/v1/host", "admin")
    assert (status, body["error"]["code"]) == (503, "host_report_unavailable")  # type: ignore[index]
    assert get(served, "/healthz", "admin")[1]["degraded_walls"] == ["mdwe"]


def test_a_server_with_every_wall(start: Start) -> None:
    served = start(sandbox__allow_degraded=())
    assert get(served, "/healthz")[1] == {"status": "ok", "degraded": False}


def test_what_doctor_makes_is_what_the_gateway_takes() -> None:
    """Both sides of the document, which never meet in one process."""
    config = override_config(Config(), {"sandbox.allow_degraded": ("cgroup",)})
    document = survey_host(config).document()
    parsed = parse_host_report(json.dumps(document).encode())
    assert parsed is not None
    assert len(parsed.facts) == len(document["facts"])  # type: ignore[arg-type]


def test_the_operator_sees_how_each_worker_does(start: Start) -> None:
    served = start()
    acme, default = served.client("acme"), served.client()
    acme.completions.create(model="tiny", prompt="x y")
    for _ in range(2):
        with pytest.raises(openai.APIError):
            default.completions.create(model="midway", prompt="x")
        time.sleep(0.3)  # its back-off
    stuck = default.with_options(timeout=1.5)  # its worker has to start first
    with pytest.raises(openai.APITimeoutError):
        stuck.completions.create(model="silent", prompt="x")
    status, body = get(served, "/admin/v1/workers", "admin")
    assert status == 200
    midway, silent, tiny = body["workers"][1:] + body["workers"][:1]  # type: ignore[index]
    assert (tiny["tenant"], tiny["model"], tiny["state"]) == ("acme", "tiny", "ready")
    assert (tiny["pieces"], tiny["starts"], tiny["crashes"]) == (4, 1, 0)
    assert tiny["rss_bytes"] > 1_000_000
    assert tiny["silent_s"] >= silent["silent_s"] >= 0.3
    assert (silent["pieces"], silent["requests"]) == (0, 1)
    assert (midway["worker_id"], midway["silent_s"], midway["rss_bytes"]) == (0, None, None)
    assert (midway["starts"], midway["crashes"]) == (2, 2)
    assert get(served, "/admin/v1/workers", "acme")[0] == 403


def test_the_description_is_for_anybody(served: Served) -> None:
    with served.http() as http:
        document = http.get("/admin/v1/openapi.json")
        page = http.get("/admin/v1/docs")
        refused = http.post("/admin/v1/docs")
    assert document.json()["openapi"] == "3.1.0"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert refused.status_code == 405
