"""Every refusal: its headers, and which field it names."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import openai
import pytest
from starlette.types import Message

from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.unavailable import Unavailable
from corral.engine.wire import Failed
from corral.engine.worker_link import Broken
from corral.gateway import errors
from corral.gateway.errors import ApiError
from corral.gateway.routes.health import Ready
from corral.guard.finding import Finding, Handling
from corral.guard.input_chain import Seen
from corral.tenancy.limits import Refusal
from tests.unit.gateway.conftest import Served

PAGE = (Path(__file__).parents[3] / "docs" / "errors.md").read_text(encoding="utf-8")
OVER_HTTP = PAGE.partition("## HTTP API")[2].partition("\n## ")[0]
DOCUMENTED = dict(re.findall(r"^\| `([a-z_.]+)` \| ([0-9 or]+) \|", OVER_HTTP, re.MULTILINE))
UNAVAILABLE = [
    "worker_restarting", "worker_failed", "model_load_failed", "model_load_timeout", "seal_failed",
    "model_quarantined", "no_worker_free", "worker_start_refused", "insufficient_memory",
]  # fmt: skip
EVERY = [
    *(one for one in vars(errors).values() if isinstance(one, ApiError)),
    *(errors.unavailable(Unavailable(code, "m", 0.5)) for code in UNAVAILABLE),
    *(
        errors.over_limit(Refusal(code, "m", 3))
        for code in ("rate_limit_exceeded", "queue_full")
    ),
    *(
        errors.failed(Failed(1, code), "prompt")
        for code in ("context_length_exceeded", "bad_request", "special_token", "engine_error")
    ),
    *(
        errors.failed(Broken(code), "prompt")
        for code in ("worker_failed", "worker_timeout", "reader_too_slow", "request_too_large")
    ),
    errors.rejected(Seen("prompt", Finding("special_token", 0, 1), Handling.REFUSE)),
    errors.model_not_found("x"),
]  # fmt: skip


@pytest.mark.parametrize("error", EVERY, ids=lambda one: f"{one.status}-{one.code}")
def test_429_and_503_say_when_to_come_back(error: ApiError) -> None:
    headers = dict(error.headers())
    if error.status in {429, 503}:
        assert int(headers[b"retry-after"]) >= 1
    assert error.code in DOCUMENTED, "not in docs/errors.md"
    assert str(error.status) in DOCUMENTED[error.code].split(" or ")
    body = json.loads(error.body())["error"]
    assert set(body) == {"message", "type", "param", "code"}


def test_where_a_retry_is_useless_clients_are_told() -> None:
    """OpenAI's clients retry each 5xx twice unless the server says otherwise."""
    useless = {one.code for one in EVERY if dict(one.headers()).get(b"x-should-retry") == b"false"}
    assert useless == {
        "request_timeout", "model_quarantined", "model_load_failed", "seal_failed",
        "host_report_unavailable", "over_ceiling", "tier_not_given",
    }  # fmt: skip
    assert not any(dict(one.headers()).get(b"x-should-retry") == b"true" for one in EVERY)


@pytest.mark.parametrize(("model", "limit_s", "status"), [("silent", 2, 504), ("fatal", 60, 503)])
def test_the_official_client_does_not_retry_what_is_useless(
    start: Callable[..., Served], model: str, limit_s: int, status: int
) -> None:
    served = start(limits__request_timeout_s=limit_s)
    client = served.client().with_options(max_retries=2)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
    assert caught.value.status_code == status
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert len(served.launcher.started) == 1


@pytest.mark.parametrize(("good", "status"), [(False, 503), (True, 200)])
def test_readyz_says_when_to_come_back(good: bool, status: int) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asyncio.run(Ready(lambda: good)({"type": "http", "headers": []}, receive, send))
    assert sent[0]["status"] == status
    assert dict(sent[0]["headers"]).get(b"retry-after") == (None if good else b"1")


@pytest.mark.parametrize(
    ("path", "asked", "param"),
    [("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}, "messages"),
     ("/v1/completions", {"prompt": "x"}, "prompt")],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_a_text_over_the_context_names_its_field(
    served: Served, path: str, asked: dict[str, object], param: str, stream: bool
) -> None:
    with served.http(headers=served.bearer()) as http:
        answer = http.post(path, json={"model": "long", "stream": stream, **asked})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        400, "context_length_exceeded", param
    )  # fmt: skip


def test_a_text_that_no_worker_takes_is_too_large(start: Callable[..., Served]) -> None:
    """The body may be longer than a line to a worker; no worker is started for such a text."""
    served = start(limits__body_bytes=4 * WIRE_LINE_BYTES)
    text = "x" * (WIRE_LINE_BYTES + 1)
    with served.http(headers=served.bearer()) as http:
        for path, asked, param in (
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}]}, "messages"),
            ("/v1/completions", {"prompt": text}, "prompt"),
        ):
            answer = http.post(path, json={"model": "tiny", **asked})
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["param"]) == (
                413, "request_too_large", param
            )  # fmt: skip
            assert not served.launcher.started
        # The control: a body as long whose text is short, and a text that just fits.
        spaced = json.dumps({"model": "tiny", "prompt": "x"}).encode() + b" " * WIRE_LINE_BYTES
        assert http.post("/v1/completions", content=spaced).status_code == 200
        fits = {"model": "tiny", "prompt": "x" * (WIRE_LINE_BYTES - 300), "max_tokens": 1}
        assert http.post("/v1/completions", json=fits).status_code == 200
