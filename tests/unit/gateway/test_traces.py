"""What requests leave as traces, by a whole gateway over TLS."""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import suppress

import httpx2
import openai
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from corral.telemetry.trace_files import read_traces, trace_file
from tests.support.canaries import marks_in, new_canaries
from tests.support.otlp import Tree, read_trees
from tests.support.server import wait_until
from tests.unit.gateway.conftest import Served

ALL = ["receive", "admit", "lease", "prepare", "worker", "engine"]
PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"
TINY = {"model": "tiny", "prompt": "hi", "max_tokens": 4}


def lines(served: Served, count: int) -> list[bytes]:
    found: list[bytes] = []

    def there() -> bool:
        found[:] = read_traces(served.home.state)
        return len(found) >= count

    assert wait_until(there), (len(found), count)
    return found


@pytest.fixture
def traced(start: Callable[..., Served]) -> Served:
    return start(telemetry__trace_files=2, limits__concurrent_requests=1, limits__queued_requests=0)


def complete(served: Served, model: str = "tiny", tenant: str = "default", **more: object) -> None:
    body = {**TINY, "model": model, **more}
    with served.http(headers=served.bearer(tenant)) as http:
        http.post("/v1/completions", json=body)


def test_the_tree_of_each_outcome(traced: Served) -> None:
    client = traced.client("acme")
    chat = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    list(chat)
    complete(traced)
    with traced.http() as stranger:
        assert stranger.post("/v1/completions", json=TINY).status_code == 401
        assert stranger.get("/healthz").status_code == stranger.get("/readyz").status_code == 200
    with traced.http(headers=traced.bearer()) as http:
        body = {**TINY, "model": "slow", "prompt": "forever", "max_tokens": 900, "stream": True}
        with http.stream("POST", "/v1/completions", json=body) as running:
            pieces = running.iter_bytes()  # which ends the stream when it is let go
            next(pieces)
            complete(traced)
    for model in ("dead", "nowhere"):
        complete(traced, model)
    complete(traced, "midway", stream=True)
    with traced.http(headers=traced.bearer("admin")) as http:
        assert http.get("/admin/v1/tenants/acme").status_code == 200
        assert http.request("PROPFIND", "/admin/v1/tenants").status_code == 405
    found = read_trees(lines(traced, 10))
    trees = {tree.outcome: tree for tree in found}
    ok = [tree for tree in found if tree.outcome == "ok"]

    streamed, whole, sheet = ok
    assert streamed.root.name == "POST /v1/chat/completions"
    said = streamed.said()
    assert said["http.request.method"] == "POST"
    assert said["http.response.status_code"] == 200
    assert (said["corral.tenant"], said["gen_ai.request.model"]) == ("acme", "tiny")
    assert said["corral.key_prefix"] in traced.keys["acme"]
    assert said["corral.request_id"].startswith("req_")
    assert list(streamed.parts) == list(whole.parts) == ALL
    engine = streamed.said("engine")
    assert streamed.parts["engine"].name == "chat tiny"
    assert (engine["gen_ai.operation.name"], engine["gen_ai.request.model"]) == ("chat", "tiny")
    assert engine["gen_ai.usage.input_tokens"] == 7
    assert engine["gen_ai.usage.output_tokens"] == 3
    assert engine["gen_ai.usage.cache_read.input_tokens"] == 2
    assert whole.said("engine")["gen_ai.operation.name"] == "text_completion"
    for tree in (streamed, whole):
        (event,) = tree.parts["engine"].events
        span = tree.parts["engine"]
        assert event.name == "first_token"
        assert span.start_time_unix_nano <= event.time_unix_nano <= span.end_time_unix_nano
        assert {one.status.code for one in (tree.root, *tree.parts.values())} == {0}
    assert (sheet.root.name, sheet.parts) == ("GET /admin/v1/tenants/{tenant}", {})

    stranger_tree = trees["invalid_api_key"]
    assert stranger_tree.parts == {}
    assert set(stranger_tree.said()) == {
        "http.request.method", "http.route", "http.response.status_code", "corral.outcome",
        "corral.request_id",
    }  # fmt: skip
    assert stranger_tree.root.status.code == Status.STATUS_CODE_UNSET  # the client's mistake

    full = trees["queue_full"]
    assert full.said()["http.response.status_code"] == 429
    assert ends(full) == ("lease", "queue_full")
    unknown = trees["model_not_found"]
    assert ends(unknown) == ("admit", "model_not_found")
    assert "gen_ai.request.model" not in unknown.said()

    gone = trees["cancelled"]
    assert list(gone.parts) == ALL
    # The engine's count, which comes when it has heard of it: later than the request's end.
    assert 0 < gone.said("engine")["gen_ai.usage.output_tokens"] < 900
    assert gone.said("engine")["gen_ai.usage.input_tokens"] == 7
    assert "error.type" not in gone.said()

    assert list(trees["worker_failed"].parts) == ALL
    failed = [tree for tree in found if tree.outcome == "worker_failed"]
    dead, midway = failed
    for tree, status in ((dead, 502), (midway, 200)):
        assert tree.said()["http.response.status_code"] == status
        assert tree.said()["error.type"] == "worker_failed"
        assert tree.root.status.code == Status.STATUS_CODE_ERROR
        assert ends(tree) == ("engine", "worker_failed")
    assert [len(tree.parts["engine"].events) for tree in failed] == [0, 1]

    odd = trees["method_not_allowed"]
    assert (odd.root.name, odd.said()["http.request.method"]) == (
        "HTTP /admin/v1/tenants",
        "_OTHER",
    )
    file = trace_file(traced.home.state, 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def ends(tree: Tree) -> tuple[str, str]:
    """Return the stage that failed, which is the last one, and with which code."""
    *before, last = tree.parts
    assert all(tree.parts[name].status.code == 0 for name in before)
    assert tree.parts[last].status.code == Status.STATUS_CODE_ERROR
    return last, str(tree.said(last)["error.type"])


@pytest.mark.claim("OBS-03")
def test_no_text_of_a_client_is_in_a_trace(traced: Served) -> None:
    marks = iter(new_canaries(40))
    everything = {
        "user-agent": next(marks), "x-request-id": next(marks), "tracestate": f"a={next(marks)}",
        "baggage": f"a={next(marks)}", f"x-{next(marks)}": next(marks),
        "traceparent": f"00-{next(marks)}", "x-forwarded-for": next(marks),
        "cookie": next(marks), "origin": next(marks), "referer": next(marks),
    }  # fmt: skip
    with traced.http(headers={**traced.bearer("acme"), **everything}) as http:
        chat = {
            "model": "tiny", "max_tokens": 8, "user": next(marks), "stop": [next(marks)],
            "messages": [{"role": "system", "content": next(marks)},
                         {"role": "user", "content": f"say {next(marks)}"}],
        }  # fmt: skip
        answer = http.post("/v1/chat/completions", json=chat)
        assert marks_in(answer.content), "the engine says it back, so it went all the way"
        assert http.post("/v1/chat/completions", json={**chat, "stream": True}).status_code == 200
        http.post("/v1/completions", json={**TINY, "model": next(marks)})
        http.post("/v1/completions", json={**TINY, next(marks): 1})
        http.post("/v1/completions", content=next(marks).encode())
        http.post(f"/v1/completions?{next(marks)}", json=TINY)
        http.get(f"/v1/models/{next(marks)}")
        http.get(f"/{next(marks)}")
        http.request(next(marks), "/v1/models")
    with traced.http(headers={"authorization": f"Bearer sk-corral-{next(marks)}"}) as http:
        http.get("/v1/models")
    with traced.http(headers={**traced.bearer("admin"), **everything}) as http:
        http.get(f"/admin/v1/tenants/{next(marks).lower()}")
        http.post("/admin/v1/keys", json={"tenant": "acme", "name": next(marks)})
        http.post("/admin/v1/tenants", json={"name": next(marks)})
    with suppress(httpx2.HTTPError), traced.http(headers={"host": next(marks)}) as http:
        http.get("/v1/models", headers=traced.bearer("acme"))
    found = lines(traced, 11)
    assert marks_in(b"".join(found)) == set()
    for secret in traced.keys.values():
        assert secret.encode() not in b"".join(found)
    # What the search would find: the request's own id, and the model that it may use.
    asked = answer.headers["x-request-id"].encode()
    (line,) = [one for one in found if asked in one]
    assert b'"tiny"' in line
    assert b'"acme"' in line


@pytest.mark.claim("OBS-04")
def test_a_caller_names_no_trace_and_chooses_nothing(traced: Served) -> None:
    def ask(parents: list[str], tenant: str | None = "acme") -> None:
        headers = [("traceparent", one) for one in parents]
        headers += list(traced.bearer(tenant).items()) if tenant else []
        with traced.http() as http:
            http.get("/v1/models", headers=headers)

    ask([PARENT])
    ask([PARENT.replace("-01", "-00")])  # the caller's flag for "do not record"
    ask([PARENT, PARENT])
    ask([PARENT.upper()])
    ask([PARENT], tenant=None)
    trees = read_trees(lines(traced, 5))
    links = [[(one.trace_id, one.span_id) for one in tree.root.links] for tree in trees]
    named = (bytes.fromhex("ab" * 16), bytes.fromhex("cd" * 8))
    assert links == [[named], [named], [], [], []]
    assert named[0] not in {tree.root.trace_id for tree in trees}
    assert len({tree.root.trace_id for tree in trees}) == 5
    assert all(not tree.root.trace_state for tree in trees)


@pytest.mark.claim("OBS-05")
def test_a_flood_of_refusals_and_a_disk_that_refuses(
    traced: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with traced.http() as stranger:
        for _ in range(80):
            assert stranger.get("/v1/models").status_code == 401
    found = lines(traced, 60)
    complete(traced)  # what works is traced beside the flood
    assert read_trees(lines(traced, len(found) + 1))[-1].outcome == "ok"

    def dropped() -> dict[str, float]:
        with traced.http(headers=traced.bearer("admin")) as http:
            text = http.get("/metrics").text
        rows = [row for row in text.splitlines() if row.startswith("corral_traces_dropped_total")]
        return {row.split('"')[1]: float(row.split()[-1]) for row in rows}

    paced = dropped()["pace"]
    assert 10 < paced <= 20

    def refuse(*_: object) -> bytes:
        raise OSError(28, "no room")

    with monkeypatch.context() as patch:
        patch.setattr("corral.telemetry.trace_files.TraceWriter.write", refuse)
        with pytest.raises(openai.NotFoundError):
            traced.client().completions.create(model="nowhere", prompt="hi")
        complete(traced)
        assert wait_until(lambda: dropped()["write"] >= 2)
    before = len(list(read_traces(traced.home.state)))
    complete(traced)
    assert read_trees(lines(traced, before + 1))[-1].outcome == "ok"
    assert dropped()["queue"] == 0


def test_without_the_setting_nothing_is_written(start: Callable[..., Served]) -> None:
    served = start()
    complete(served)
    with served.http(headers=served.bearer("admin")) as http:
        assert "corral_traces_dropped_total{" not in http.get("/metrics").text
    assert list(served.home.state.glob("traces-*")) == []
