"""The official `openai` client against the real server, engine and model, over TLS."""

from __future__ import annotations

import json
import socket
import threading
import time

import openai
import pytest

from tests.support.server import MODEL, RunningServer, wait_until

STORY = [{"role": "user", "content": "Tell me a story about a horse."}]


def ask(server: RunningServer, **options):
    defaults = {"model": MODEL, "messages": STORY, "max_tokens": 16, "temperature": 0}
    return server.openai().chat.completions.create(**(defaults | options))


def test_answers_a_chat_with_usage(shared_server):
    answer = ask(shared_server)
    assert answer.choices[0].message.role == "assistant"
    assert len(answer.choices[0].message.content) > 10
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 16
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 16


def test_stream_and_whole_answer_agree(shared_server):
    whole = ask(shared_server)
    chunks = list(ask(shared_server, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"


def test_stream_without_usage_has_none(shared_server):
    assert all(c.usage is None for c in ask(shared_server, stream=True, max_tokens=4))


def test_same_seed_gives_same_text_and_another_seed_another(shared_server):
    def draw(seed):
        return (
            ask(shared_server, temperature=1.5, seed=seed, max_tokens=24).choices[0].message.content
        )

    assert draw(7) == draw(7)
    assert len({draw(seed) for seed in (1, 2, 3, 4)}) > 1


def test_stop_sequence_ends_the_answer_and_is_not_part_of_it(shared_server):
    whole = ask(shared_server, max_tokens=40).choices[0].message.content
    word = whole.split()[5]
    stopped = ask(shared_server, max_tokens=40, stop=[word])
    assert word not in stopped.choices[0].message.content
    assert whole.startswith(stopped.choices[0].message.content)
    assert stopped.choices[0].finish_reason == "stop"


def test_logprobs_of_chat_and_completion(shared_server):
    chat = ask(shared_server, logprobs=True, top_logprobs=3, max_tokens=4)
    tokens = chat.choices[0].logprobs.content
    assert len(tokens) == 4
    assert all(len(t.top_logprobs) == 3 and t.logprob <= 0 for t in tokens)
    assert "".join(t.token for t in tokens) == chat.choices[0].message.content
    assert b"".join(bytes(t.bytes) for t in tokens).decode() == chat.choices[0].message.content
    text = shared_server.openai().completions.create(
        model=MODEL, prompt="Once upon a time", max_tokens=4, logprobs=2, temperature=0
    )
    shape, said = text.choices[0].logprobs, text.choices[0].text
    assert len(shape.tokens) == len(shape.token_logprobs) == len(shape.top_logprobs) == 4
    assert "".join(shape.tokens) == said
    assert shape.text_offset == [len("".join(shape.tokens[:n])) for n in range(4)]
    for token, chance, top in zip(
        shape.tokens, shape.token_logprobs, shape.top_logprobs, strict=True
    ):
        assert len(top) == 2
        assert top[token] == max(top.values()) == chance <= 0


def test_text_completion_streams(shared_server):
    client = shared_server.openai()
    options = {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 12, "temperature": 0}
    whole = client.completions.create(**options).choices[0].text
    pieces = client.completions.create(**options, stream=True)
    assert "".join(c.choices[0].text for c in pieces if c.choices) == whole
    *counted, last = client.completions.create(
        **options, stream=True, stream_options={"include_usage": True}
    )
    assert all(c.usage is None for c in counted)
    assert last.choices == []
    assert last.usage.completion_tokens == 12
    assert last.usage.total_tokens == last.usage.prompt_tokens + 12


def test_what_clients_send_by_habit_is_taken(shared_server):
    named = [{**STORY[0], "name": "alice"}]
    nothing = {"tools": None, "tool_choice": "none", "store": False, "service_tier": "auto"}
    assert (
        ask(shared_server, messages=named, extra_body=nothing).choices[0].message.content
        == ask(shared_server).choices[0].message.content
    )
    client = shared_server.openai()
    options = {"model": MODEL, "max_tokens": 4, "temperature": 0}
    one, listed = (
        client.completions.create(**options, prompt=prompt, echo=False, best_of=1).choices[0].text
        for prompt in ("Once upon a time", ["Once upon a time"])
    )
    assert one == listed


def test_lists_and_describes_models(shared_server):
    client = shared_server.openai()
    assert [m.id for m in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


@pytest.mark.claim("HTTP-04")
@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"max_tokens": 100_000}, 400, "max_tokens_too_large"),
        ({"temperature": 9}, 400, "invalid_parameter"),
        ({"model": "no-such-model"}, 404, "model_not_found"),
        ({"extra_body": {"id_slot": 0}}, 400, "unknown_parameter"),
        ({"extra_body": {"cache_prompt": True}}, 400, "unknown_parameter"),
        ({"extra_body": {"n_cache_reuse": 1}}, 400, "unknown_parameter"),
        ({"extra_body": {"lora": []}}, 400, "unknown_parameter"),
        ({"messages": [{"role": "user", "content": "x " * 9_000}]}, 400, "context_length_exceeded"),
    ],
)  # fmt: skip
def test_bad_requests_are_refused_in_openai_shape(shared_server, options, status, code):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(shared_server, **options)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.body["message"]


def test_a_conversation_that_the_template_does_not_take_is_the_callers_mistake(shared_server):
    asked = {"role": "user", "content": "Hello"}
    twice = [asked, *([{"role": "assistant", "content": "Hello!"}] * 2)]
    with pytest.raises(openai.BadRequestError) as refused:
        shared_server.openai().chat.completions.create(model=MODEL, messages=twice, max_tokens=4)
    assert refused.value.code == "engine_refused"
    assert shared_server.openai().chat.completions.create(
        model=MODEL, messages=[*twice, asked], max_tokens=4
    ), "the control: a question behind them makes it one that is taken"


@pytest.mark.claim("KEY-02")
@pytest.mark.parametrize("key", ["sk-corral-aaaaaaaa-" + "0" * 64, "nonsense", "sk-"])
def test_wrong_keys_are_refused(shared_server, key):
    with pytest.raises(openai.AuthenticationError):
        shared_server.openai(key).models.list()


@pytest.mark.alone("how soon a slot is free is its claim")
@pytest.mark.claim("BLS-07")
@pytest.mark.parametrize("stream", [True, False])
def test_disconnect_frees_the_slot_within_a_second(shared_server, stream):
    """Fill every slot with long answers, leave, and see whether a new request is answered."""

    def leave_early():
        # A busy machine may need longer than that to connect; then nothing was asked and left.
        client = shared_server.openai().with_options(timeout=openai.Timeout(60, read=1.0))
        try:
            reply = client.chat.completions.create(
                model=MODEL, messages=STORY, max_tokens=1000, stream=stream, temperature=0,
                extra_body={"frequency_penalty": 0.5},
            )  # fmt: skip
            if stream:
                next(iter(reply))
                reply.close()
        except openai.APITimeoutError:
            return

    def settled():
        return shared_server.log().count('"status":"cancelled"')

    ask(shared_server, max_tokens=1)
    before = settled()
    gone = [threading.Thread(target=leave_early) for _ in range(4)]
    for one in gone:
        one.start()
    for one in gone:
        one.join()
    left = time.monotonic()
    # The gateway settles a cancelled request when the worker has given its slot back.
    assert wait_until(lambda: settled() - before >= 4, seconds=5), shared_server.log()[-2000:]
    assert time.monotonic() - left < 1.5


@pytest.mark.alone("how soon a slot is free is its claim")
@pytest.mark.claim("BLS-07")
@pytest.mark.parametrize("stream", [True, False])
def test_a_disconnect_in_the_middle_of_a_long_prompt_frees_the_slot(shared_server, stream):
    """The engine reads a prompt near the context's end when the client leaves."""

    def asked(seed, stream=False, **options):
        # No two prompts begin alike, so that nothing of them is in the cache.
        text = f"{seed} " + "horse and dog, " * 420
        client = shared_server.openai().with_options(**options)
        return client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": text}], max_tokens=2, stream=stream
        )

    def settled():
        lines = shared_server.log().splitlines()
        rows = [json.loads(line) for line in lines if "request_settled" in line]
        return [row for row in rows if row["status"] == "cancelled"]

    # The control: how long such a prompt takes when nobody leaves, and that it nearly fills the
    # context.
    began = time.monotonic()
    assert 1500 < asked(f"{stream} whole").usage.prompt_tokens < 2048
    full_s = time.monotonic() - began
    before = len(settled())
    with pytest.raises(openai.APITimeoutError):
        asked(f"{stream} left", stream, timeout=full_s / 3)
    left = time.monotonic()
    assert wait_until(lambda: len(settled()) > before, seconds=5), shared_server.log()[-2000:]
    assert time.monotonic() - left < 1
    assert [row["completion_tokens"] for row in settled()[before:]] == [0], "in the prompt"


def test_a_stranger_cannot_make_the_server_read_a_body(shared_server):
    """401 comes before a byte of the body is read, and the connection is closed."""
    host, _, port = shared_server.url.removeprefix("https://").rpartition(":")
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk-no\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    )
    with (
        socket.create_connection((host, int(port)), timeout=60) as plain,
        shared_server.tls().wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        sock.sendall(head)
        answer = b""
        while piece := sock.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"invalid_api_key" in answer
