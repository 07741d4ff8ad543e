"""Chunks as llama.cpp makes them, and what becomes of them on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from gguf.constants import Keys

from corral.engine.plain_json import encode
from corral.engine.translate import DEFAULTS, Turn, request_body
from corral.engine.wire import (
    Chunk,
    End,
    Failed,
    FromWorker,
    TokenLogprob,
    TopLogprob,
    Usage,
    decode_from_worker,
)
from corral.engine.worker_wire import Generate, chunk, encode_lines, end

CHAT = Generate(1, {"max_tokens": 8}, [{"role": "user", "content": "hi"}])
TEXT = Generate(1, {"max_tokens": 8}, prompt="once")
BASE = {
    "stream": True, "stream_options": {"include_usage": True}, "return_progress": True,
    "max_tokens": 8, "cache_prompt": True, **DEFAULTS,
}  # fmt: skip
GGUF_KEYS = {
    "sequence": "samplers", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
    "xtc_probability": "xtc_probability", "xtc_threshold": "xtc_threshold", "temp": "temperature",
    "penalty_last_n": "repeat_last_n", "penalty_repeat": "repeat_penalty", "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau", "mirostat_eta": "mirostat_eta",
}  # fmt: skip
"""What a model file may say as `general.sampling.*`, and the engine's name for it."""


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": None, **fields}]}


def run(
    *chunks: dict[str, Any], cancelled: set[int] | None = None
) -> tuple[list[FromWorker], bool]:
    """Return every message of a request and whether the engine was told to stop."""
    sent = bytearray()
    turn = Turn(
        1,
        start=lambda _, lines: bool(sent.extend(lines)),
        cancelled=cancelled if cancelled is not None else set(),
    )
    stopped = any(turn.take(encode(one)) for one in chunks)
    # As the gateway reads them.
    lines = (sent + encode_lines([turn.result()])).splitlines()
    return [decode_from_worker(bytes(line)) for line in lines], stopped


def test_a_chat_request() -> None:
    assert request_body(CHAT) == {**BASE, "messages": [{"role": "user", "content": "hi"}]}


def test_a_text_request() -> None:
    assert request_body(TEXT) == {**BASE, "prompt": "once"}


def test_what_a_caller_leaves_out_is_openais_default() -> None:
    body = request_body(CHAT)
    assert (body["temperature"], body["top_p"]) == (1.0, 1.0)
    assert (body["frequency_penalty"], body["presence_penalty"]) == (0.0, 0.0)
    assert (body["top_k"], body["min_p"], body["typical_p"]) == (0, 0.0, 1.0)
    assert (body["repeat_penalty"], body["mirostat"], body["xtc_probability"]) == (1.0, 0, 0.0)


@pytest.mark.claim("TXT-05")
@pytest.mark.parametrize("asked", [{}, {"temperature": 0.5, "top_p": 0.1, "seed": 1}])
def test_a_model_file_has_no_say_in_sampling(asked: dict[str, Any]) -> None:
    """The engine takes from the file only what a request does not say: so it says everything."""
    known = {
        str(value).removeprefix("general.sampling.")
        for name, value in vars(Keys.General).items()
        if name.startswith("SAMPLING_")
    }
    assert known == set(GGUF_KEYS), "the format knows more: say it in translate.DEFAULTS"
    for request in (
        Generate(1, {"max_tokens": 8, **asked}, messages=[]),
        Generate(1, {"max_tokens": 8, **asked}, prompt="x"),
    ):
        body = request_body(request)
        assert all(body.get(option) is not None for option in GGUF_KEYS.values())
        assert asked.items() <= body.items()


def test_temperature_zero_is_the_most_probable_token() -> None:
    assert request_body(Generate(1, {"max_tokens": 8, "temperature": 0}, prompt=""))["top_k"] == 1


def test_sampling_options() -> None:
    options = {
        "temperature": 0.0, "top_p": 0.5, "seed": 3, "stop": ["a", "b"],
        "frequency_penalty": 1.0, "presence_penalty": -1.0,
    }  # fmt: skip
    sampling = {"max_tokens": 8, "logprobs": 2, **options}
    chat = request_body(Generate(1, sampling, messages=[]))
    assert chat == {
        **BASE,
        **options,
        "top_k": 1,
        "messages": [],
        "logprobs": 2,
    }
    assert request_body(Generate(1, sampling, prompt=""))["logprobs"] == 2


def test_a_schema_is_what_the_engine_reads() -> None:
    sampling = {"max_tokens": 8, "json_schema": '{"type":"null"}'}
    for request in (Generate(1, sampling, prompt=""), Generate(1, sampling, messages=[])):
        assert request_body(request)["json_schema"] == {"type": "null"}
    broken = Generate(1, {"max_tokens": 8, "json_schema": "{"}, prompt="")
    with pytest.raises(ValueError, match="JSON"):
        request_body(broken)


def test_log_probabilities_without_alternatives() -> None:
    sampling = {"max_tokens": 8, "logprobs": 0}
    assert request_body(Generate(1, sampling, prompt=""))["logprobs"] == 1
    assert request_body(Generate(1, sampling, messages=[]))["logprobs"] == 1


def test_a_chat_answer() -> None:
    messages, stopped = run(
        {"choices": [], "prompt_progress": {"total": 9, "cache": 4, "processed": 9}},
        choice(text=None),
        choice(text="he"),
        choice(text="llo"),
        choice(text="", finish_reason="stop"),
        {
            "choices": [],
            "usage": {
                "prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
        },
    )  # fmt: skip
    assert messages == [Chunk(1, "he"), Chunk(1, "llo"), End(1, "stop", Usage(9, 3, 4))]
    assert not stopped


@pytest.mark.parametrize(("finish", "reason"), [("stop", "stop"), ("length", "length")])
def test_a_text_answer(finish: str, reason: str) -> None:
    messages, _ = run(
        choice(text="a"),
        choice(text="", finish_reason=finish),
        {"usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    )
    assert messages == [Chunk(1, "a"), End(1, reason, Usage(1, 2, 0))]


def test_an_engine_that_counts_nothing_is_counted_by_pieces() -> None:
    messages, _ = run({"prompt_progress": {"total": 5, "cache": 2}}, choice(text="a"))
    assert messages[-1] == End(1, "stop", Usage(5, 1, 2))


def test_log_probabilities() -> None:
    token = {
        "id": 3, "token": "a", "logprob": -0.5, "bytes": [97],
        "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": None}, {
            "token": "c", "logprob": -2.0, "bytes": [99]}],
    }  # fmt: skip
    messages, _ = run(
        choice(text="a", logprobs={"content": [token]}),
        choice(text="", logprobs={"content": [{"token": "", "logprob": 0.0}]}),
        choice(text="z", logprobs={"content": None}),
    )
    top = (TopLogprob("b", -1.0), TopLogprob("c", -2.0, (99,)))
    assert messages[:-1] == [
        Chunk(1, "a", (TokenLogprob("a", -0.5, (97,), top),)),
        Chunk(1, "", (TokenLogprob("", 0.0),)),
        Chunk(1, "z"),
    ]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("exceed_context_size_error", "context_length_exceeded"),
        ("invalid_request_error", "bad_request"),
        ("server_error", "engine_error"),
        (None, "engine_error"),
    ],
)
def test_errors_have_a_fixed_vocabulary(kind: str | None, code: str) -> None:
    messages, stopped = run(choice(text="a"), {"error": {"type": kind, "message": "secret"}})
    assert messages == [Chunk(1, "a"), Failed(1, code)]
    assert stopped


def test_a_cancelled_request_is_stopped_at_the_next_chunk() -> None:
    cancelled: set[int] = set()
    sent = bytearray()
    turn = Turn(1, start=lambda _, lines: bool(sent.extend(lines)), cancelled=cancelled)
    assert not turn.take(encode(choice(text="a")))
    cancelled.add(1)
    assert turn.take(encode(choice(text="b")))
    assert bytes(sent) == encode_lines([chunk(1, "a", [])])
    assert turn.result() == end(1, "cancelled", 0, 1, 0)


def test_what_was_on_its_way_does_not_undo_a_cancel() -> None:
    cancelled: set[int] = set()
    turn = Turn(1, start=lambda _, __: True, cancelled=cancelled)
    for one in (choice(text="a"), choice(text="b"), choice(text="", finish_reason="stop")):
        assert not turn.take(encode(one))
    cancelled.add(1)
    assert turn.take(encode({"usage": {"prompt_tokens": 1, "completion_tokens": 2}}))
    assert turn.gather() == encode_lines([chunk(1, "b", [])])
    assert turn.result() == end(1, "cancelled", 0, 2, 0)
