"""The way of a request through a whole gateway, by the official client."""

import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from corral.ipc.messages import Drain
from corral.tenancy.keys import revoke_key
from tests.support.running_clock import running_clock
from tests.unit.gateway.conftest import Served

HELLO: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "hello there"}]
FOREVER: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "forever"}]


def eventually(check: Callable[[], bool], within_s: float = 20) -> bool:
    deadline = time.monotonic() + within_s
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_chat_is_answered_whole(served: Served) -> None:
    answer = served.client().chat.completions.create(
        model="tiny", messages=HELLO, seed=1, temperature=0.5, user="u", stop=["x", "<|im_end|>"]
    )
    assert answer.choices[0].message.content == "you said hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 4)
    assert answer.usage.total_tokens == 11
    assert answer._request_id
    assert eventually(lambda: served.usage() == [("default", "tiny", 7, 4, 2, "ok")])


def test_a_chat_streams_as_the_official_client_expects(served: Served) -> None:
    chunks = list(
        served.client().chat.completions.create(
            model="tiny", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == (
        "you said hello there"
    )
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4
    assert all(c.usage is None for c in chunks[:-1])
    assert len({c.id for c in chunks}) == 1


@pytest.mark.claim("TLS-06")
def test_events_are_padded_unless_the_caller_says_no(served: Served) -> None:
    body = {"model": "tiny", "messages": HELLO, "stream": True}
    with served.http(headers=served.bearer()) as http:
        padded = http.post("/v1/chat/completions", json=body)
        events = padded.text.split("\n\n")
        assert padded.headers["content-type"].startswith("text/event-stream")
        assert events[-2:] == ["data: [DONE]", ""]
        assert all((len(e) + 2) % 128 == 0 for e in events[:-2])
        body["stream_options"] = {"include_obfuscation": False}
        assert "obfuscation" not in http.post("/v1/chat/completions", json=body).text


def test_logprobs_in_both_shapes(served: Served) -> None:
    client = served.client()
    chat = client.chat.completions.create(
        model="tiny", messages=HELLO, logprobs=True, top_logprobs=2
    )
    tokens = chat.choices[0].logprobs
    assert tokens is not None
    assert tokens.content is not None
    assert [t.token for t in tokens.content] == ["you", " said", " hello", " there"]
    assert len(tokens.content[0].top_logprobs) == 2
    text = client.completions.create(model="tiny", prompt="hi", logprobs=1)
    shape = text.choices[0].logprobs
    assert shape is not None
    assert shape.text_offset == [0, 3, 8]
    assert shape.token_logprobs == [-0.5, -0.5, -0.5]


def test_a_text_completion_whole_and_streamed(served: Served) -> None:
    client = served.client()
    whole = client.completions.create(model="tiny", prompt="a b", max_tokens=3)
    assert whole.choices[0].text == "you said a"
    assert whole.choices[0].finish_reason == "length"
    chunks = list(client.completions.create(model="tiny", prompt="a b", stream=True))
    assert "".join(c.choices[0].text for c in chunks) == "you said a b"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in chunks)
    *counted, last = client.completions.create(
        model="tiny", prompt="a b", stream=True, stream_options={"include_usage": True}
    )
    assert all(c.usage is None for c in counted)
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (7, 4)


@pytest.mark.claim("TXT-02")
def test_control_tokens_never_come_out(served: Served) -> None:
    answer = served.client().chat.completions.create(model="special", messages=HELLO)
    assert answer.choices[0].message.content == "a\ufffdb <|im_st"


@pytest.mark.claim("HTTP-04")
@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"tools": [{"type": "custom"}]}, "invalid_parameter", "tools[0].type"),
        ({"id_slot": 1}, "unknown_parameter", "id_slot"),
        ({"cache_prompt": True}, "unknown_parameter", "cache_prompt"),
        ({"messages": [{"role": "user", "content": "x", "y": 1}]}, "unknown_parameter",
         "messages[0].y"),
        ({"n": 2}, "invalid_parameter", "n"),
        ({"temperature": 3}, "invalid_parameter", "temperature"),
        ({"top_logprobs": 2}, "invalid_parameter", "top_logprobs"),
        ({"max_tokens": 100_000}, "max_tokens_too_large", "max_tokens"),
        ({"max_completion_tokens": 100_000}, "max_tokens_too_large", "max_completion_tokens"),
        ({"max_completion_tokens": 100_000, "max_tokens": 5}, "max_tokens_too_large",
         "max_completion_tokens"),
        ({"stop": ["x"] * 17}, "invalid_parameter", "stop"),
        ({"stream_options": {}}, "invalid_parameter", "stream_options"),
        ({"messages": []}, "invalid_parameter", "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "invalid_parameter",
         "messages[0].tool_call_id"),
        ({"messages": [{"role": "function", "content": "x"}]}, "invalid_parameter",
         "messages[0].role"),
        ({"response_format": {"type": "grammar"}}, "invalid_parameter",
         "response_format.type"),
        ({"messages": [{"role": "user", "content": "a\x00"}]}, "input_rejected.invalid_text",
         "messages[0].content"),
        ({"model": "bare"}, "no_chat_template", "model"),
    ],
)  # fmt: skip
def test_wrong_requests_name_what_is_wrong(
    served: Served, change: dict[str, object], code: str, param: str
) -> None:
    with served.http(headers=served.bearer()) as http:
        answer = http.post(
            "/v1/chat/completions", json={"model": "tiny", "messages": HELLO, **change}
        )
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model":1}', b"[" * 100_000])
def test_what_is_not_json_is_refused(served: Served, body: bytes) -> None:
    with served.http(headers=served.bearer()) as http:
        assert http.post("/v1/chat/completions", content=body).status_code == 400


@pytest.mark.claim("KEY-07")
def test_keys_and_grants_decide(served: Served) -> None:
    with served.http() as http:
        body = {"model": "tiny", "messages": HELLO}
        for value in ("", "Bearer", "Bearer x", "Basic x", "Bearer \xff"):
            headers = {"authorization": value.encode("latin1")}
            answer = http.post("/v1/chat/completions", json=body, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert http.get("/v1/models", headers=headers).status_code == 401
    acme = served.client("acme")
    assert [m.id for m in acme.models.list()] == ["tiny"]
    assert acme.models.retrieve("tiny").created == 1700000000
    messages = []
    for model in ("slow", "nowhere"):
        with pytest.raises(openai.NotFoundError) as caught:
            acme.chat.completions.create(model=model, messages=HELLO)
        messages.append(caught.value.body)
        with pytest.raises(openai.NotFoundError):
            acme.models.retrieve(model)
    assert str(messages[0]).replace("slow", "nowhere") == str(messages[1])


@pytest.mark.claim("ISO-05")
def test_two_tenants_never_share_a_worker(served: Served) -> None:
    for tenant in ("default", "acme", "default", "acme"):
        served.client(tenant).chat.completions.create(model="tiny", messages=HELLO)
    assert sorted(s.tenant for s in served.launcher.started) == ["acme", "default"]


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [("dead", 502, "worker_failed"), ("fatal", 503, "model_load_failed"),
     ("long", 400, "context_length_exceeded"), ("broken", 502, "engine_error"),
     ("garbage", 502, "worker_failed"), ("longline", 502, "worker_failed")],
)  # fmt: skip
def test_a_failure_before_the_first_byte_is_a_status(
    served: Served, model: str, status: int, code: str
) -> None:
    for stream in (False, True):
        with served.http(headers=served.bearer()) as http:
            answer = http.post(
                "/v1/chat/completions",
                json={"model": model, "messages": HELLO, "stream": stream},
            )
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code
        time.sleep(0.7)  # over the first back-off


def test_a_worker_that_dies_mid_stream_ends_it_with_an_error_event(served: Served) -> None:
    stream = served.client().chat.completions.create(model="midway", messages=HELLO, stream=True)
    said = []
    with pytest.raises(openai.APIError) as caught:
        said += [chunk.choices[0].delta.content for chunk in stream]
    assert caught.value.code == "worker_failed"
    assert eventually(lambda: [u[5] for u in served.usage()] == ["worker_failed"])


@pytest.mark.claim("BLS-04")
def test_other_streams_go_on_beside_a_hostile_worker(served: Served) -> None:
    results: list[str] = []

    def chat() -> None:
        stream = served.client("acme").chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "w " * 200}], stream=True
        )
        results.append("".join(c.choices[0].delta.content or "" for c in stream))

    threads = [threading.Thread(target=chat) for _ in range(4)]
    for thread in threads:
        thread.start()
    with pytest.raises(openai.APIError):
        list(served.client().chat.completions.create(
            model="endless", messages=HELLO, stream=True, max_tokens=4))  # fmt: skip
    for thread in threads:
        thread.join(60)
    assert len(results) == 4
    assert all(len(r) > 400 for r in results)


@contextlib.contextmanager
def asked(served: Served, **body: object) -> Iterator[ssl.SSLSocket]:
    """Ask for a chat and leave the answer to the caller; the connection ends with the block."""
    content = json.dumps(body).encode()
    host, port = served.url.removeprefix("https://").split(":")
    raw = socket.create_connection((host, int(port)))
    with served.trust().wrap_socket(raw, server_hostname="localhost") as sock:
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
            b"Content-Length: %d\r\n\r\n%s"
            % (served.keys["default"].encode(), len(content), content)
        )
        yield sock


def said_bytes(process: subprocess.Popen[bytes]) -> int:
    """Return how much a worker has written until now."""
    counts = Path(f"/proc/{process.pid}/io").read_text()
    return int(counts.partition("wchar: ")[2].split()[0])


@pytest.mark.claim("BLS-07")
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_frees_its_slot_within_a_second(
    start: Callable[..., Served], stream: bool
) -> None:
    served = start(limits__concurrent_requests=1, engine__parallel=1)
    client = served.client()
    with asked(served, model="slow", messages=FOREVER, stream=stream) as sock:
        assert eventually(lambda: bool(served.launcher.confirmed))
        (worker,) = served.launcher.live.values()
        before_bytes = said_bytes(worker)
        assert eventually(lambda: said_bytes(worker) > before_bytes), "the answer has begun"
        if stream:
            assert sock.recv(15) == b"HTTP/1.1 200 OK"
    with running_clock() as clock:
        client.chat.completions.create(model="slow", messages=HELLO, max_tokens=1)
        assert clock.now_s < 1
    assert eventually(lambda: [u[5] for u in served.usage()] == ["cancelled", "ok"])
    assert 0 < int(str(served.usage()[0][3])) < 100


@pytest.mark.claim("LIM-01")
def test_limits_answer_429_with_retry_after(start: Callable[..., Served]) -> None:
    served = start(limits__requests_per_minute=1, limits__concurrent_requests=1,
                   limits__queued_requests=0)  # fmt: skip
    client = served.client()
    client.chat.completions.create(model="tiny", messages=HELLO)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="tiny", messages=HELLO)
    assert caught.value.code == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_a_request_over_its_deadline_is_ended(start: Callable[..., Served]) -> None:
    served = start(limits__request_timeout_s=3)
    with pytest.raises(openai.APIStatusError) as caught:
        served.client().chat.completions.create(model="silent", messages=HELLO)
    assert caught.value.status_code == 504
    with pytest.raises(openai.APIError):
        list(served.client().chat.completions.create(model="slow", messages=FOREVER, stream=True))
    # "silent" says nothing to its cancellation: its row comes when its worker is given up.
    assert eventually(lambda: len(served.usage()) == 1)
    tenant, model, prompt, completion, _, status = served.usage()[0]
    assert (tenant, model, prompt, status) == ("default", "slow", 7, "request_timeout")
    assert 5 < int(str(completion)) < 200, "a piece each 0.05 s for three seconds"


@pytest.mark.claim("BLAST-05")
def test_a_client_that_does_not_read_loses_its_stream_alone(
    start: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corral.gateway.exchange.WRITE_IDLE_S", 1.0)
    served = start(
        limits__max_tokens=1_000_000, limits__concurrent_requests=2,
        limits__requests_per_minute=1_000_000,
    )  # fmt: skip
    with asked(
        served, model="tiny", messages=FOREVER, stream=True, max_tokens=1_000_000
    ) as deaf:  # fmt: skip
        assert deaf.recv(15) == b"HTTP/1.1 200 OK"
        longest_s = 0.0
        deadline = time.monotonic() + 60
        while not [u for u in served.usage() if u[5] == "reader_too_slow"]:
            assert time.monotonic() < deadline
            asked_s = time.monotonic()
            answer = served.client().chat.completions.create(model="tiny", messages=HELLO)
            assert answer.choices[0].message.content == "you said hello there"
            longest_s = max(longest_s, time.monotonic() - asked_s)
        assert longest_s < 5
    assert len(served.launcher.started) == 1
    # The place is free again: both fit at the same time.
    streams = [
        served.client().chat.completions.create(model="slow", messages=HELLO, stream=True)
        for _ in range(2)
    ]
    assert all(len(list(stream)) > 4 for stream in streams)


@pytest.mark.parametrize("waiting", ["queue", "slot"])
def test_a_client_that_goes_while_it_waits_leaves_the_line(
    start: Callable[..., Served], waiting: str
) -> None:
    served = start(limits__concurrent_requests=1 if waiting == "queue" else 9, engine__parallel=1)
    running = served.client().chat.completions.create(model="slow", messages=FOREVER, stream=True)
    next(iter(running))
    impatient = served.client().with_options(timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        impatient.chat.completions.create(model="slow", messages=HELLO)
    client = served.client()
    with running_clock() as clock:
        running.close()
        client.chat.completions.create(model="slow", messages=HELLO, max_tokens=1)
        assert clock.now_s < 1


def test_a_drain_lets_running_answers_finish(served: Served) -> None:
    stream = served.client().chat.completions.create(model="slow", messages=HELLO, stream=True)
    said = [next(iter(stream)).choices[0].delta.content]
    served.launcher.send_event(Drain(5))
    said += [chunk.choices[0].delta.content for chunk in stream]
    assert "".join(part or "" for part in said) == "you said hello there"
    served.thread.join(30)
    assert not served.thread.is_alive()
    assert [u[5] for u in served.usage()] == ["ok"]


@pytest.mark.claim("KEY-03")
def test_a_revoked_key_is_out_at_once(served: Served) -> None:
    client = served.client("acme")
    client.chat.completions.create(model="tiny", messages=HELLO)
    revoke_key(served.home.database, served.keys["acme"].split("-")[2])
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="tiny", messages=HELLO)


def test_a_gateway_without_its_launcher_stops(served: Served) -> None:
    served.launcher.vanish()
    served.thread.join(30)
    assert not served.thread.is_alive()
