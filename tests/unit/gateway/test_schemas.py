"""What a body becomes: every field, whole; and what is taken without asking for anything."""

from __future__ import annotations

import json

import pytest

from corral.engine.wire import Message, Sampling
from corral.gateway.ask import Ask
from corral.gateway.errors import ApiError
from corral.gateway.schemas.chat import parse_chat
from corral.gateway.schemas.completion import parse_completion

CHAT: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TEXT: dict[str, object] = {"model": "m", "prompt": "once"}
SAID = (Message("user", "hi"),)
OPTIONS: dict[str, object] = {
    "temperature": 0.25, "top_p": 0.5, "seed": 7, "stop": ["a", "b"], "frequency_penalty": 1.5,
    "presence_penalty": -1.25, "max_tokens": 9,
}  # fmt: skip
SAMPLING = Sampling(
    max_tokens=9, temperature=0.25, top_p=0.5, seed=7, stop=("a", "b"), frequency_penalty=1.5,
    presence_penalty=-1.25,
)  # fmt: skip
NOTHING: list[dict[str, object]] = [
    {"n": 1}, {"n": None}, {"user": "u"}, {"user": None}, {"metadata": None},
    {"metadata": {"a": "b"}}, {"logit_bias": None}, {"logit_bias": {}}, {"stop": None},
    {"stream": False}, {"stream": None}, {"stream_options": None}, {"seed": None},
    {"temperature": None}, {"top_p": None}, {"frequency_penalty": None},
    {"presence_penalty": None}, {"max_tokens": None}, {"logprobs": None},
]  # fmt: skip
CHAT_NOTHING: list[dict[str, object]] = [
    {"tools": None}, {"tool_choice": None}, {"tool_choice": "none"}, {"functions": None},
    {"function_call": None}, {"function_call": "none"}, {"store": False}, {"store": None},
    {"parallel_tool_calls": None}, {"parallel_tool_calls": True}, {"tools": []},
    {"tool_choice": "auto"}, {"confirm_sensitive_tools": True}, {"response_format": None},
    {"response_format": {"type": "text"}}, {"service_tier": None}, {"service_tier": "auto"},
    {"service_tier": "default"}, {"modalities": None}, {"modalities": ["text"]},
    {"prediction": None}, {"audio": None}, {"safety_identifier": "s"},
    {"safety_identifier": None}, {"prompt_cache_key": "k"}, {"prompt_cache_key": None},
    {"reasoning_effort": None}, {"verbosity": None}, {"web_search_options": None},
    {"moderation": None}, {"max_completion_tokens": None}, {"top_logprobs": None},
    {"logprobs": False},
    {"messages": [{"role": "user", "content": "hi", "name": "a_B-" + "9" * 60}]},
    {"messages": [{"role": "user", "content": "hi", "name": None}]},
]  # fmt: skip
TEXT_NOTHING: list[dict[str, object]] = [
    {"prompt": ["once"]}, {"suffix": None}, {"echo": False}, {"echo": None}, {"best_of": 1},
    {"best_of": None},
]  # fmt: skip


def chat(**fields: object) -> Ask | ApiError:
    return parse_chat(json.dumps({**CHAT, **fields}).encode(), max_tokens=64)


def text(**fields: object) -> Ask | ApiError:
    return parse_completion(json.dumps({**TEXT, **fields}).encode(), max_tokens=64)


def test_every_option_of_a_chat_arrives() -> None:
    assert chat(**OPTIONS, logprobs=True, top_logprobs=3) == Ask(
        model="m",
        messages=SAID,
        sampling=Sampling(**{**vars_of(SAMPLING), "logprobs": 3}),  # type: ignore[arg-type]
        asked_as="max_tokens",
    )
    assert chat(
        stream=True, stream_options={"include_usage": True, "include_obfuscation": False}
    ) == Ask(
        model="m", messages=SAID, sampling=Sampling(max_tokens=64), stream=True,
        include_usage=True, obfuscate=False,
    )  # fmt: skip
    asked = chat(logprobs=True)
    assert isinstance(asked, Ask)
    assert asked.sampling.logprobs == 0


def test_every_option_of_a_completion_arrives() -> None:
    assert text(**OPTIONS, logprobs=2) == Ask(
        model="m",
        prompt="once",
        sampling=Sampling(**{**vars_of(SAMPLING), "logprobs": 2}),  # type: ignore[arg-type]
        asked_as="max_tokens",
    )
    assert text(stream=True, stream_options={"include_usage": True}) == Ask(
        model="m", prompt="once", sampling=Sampling(max_tokens=64), stream=True, include_usage=True
    )


def vars_of(sampling: Sampling) -> dict[str, object]:
    return {name: getattr(sampling, name) for name in sampling.__struct_fields__}


@pytest.mark.parametrize(("stop", "heard"), [("x", ("x",)), (["x"], ("x",)), ([], ())])
def test_stop_is_one_text_or_several(stop: object, heard: tuple[str, ...]) -> None:
    for asked in (chat(stop=stop), text(stop=stop)):
        assert isinstance(asked, Ask)
        assert asked.sampling.stop == heard


def test_the_newer_name_of_the_bound_comes_first() -> None:
    for fields, tokens in (
        ({}, 64), ({"max_tokens": 5}, 5), ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
        ({"max_tokens": 6, "max_completion_tokens": 5}, 5),
    ):  # fmt: skip
        asked = chat(**fields)
        assert isinstance(asked, Ask)
        assert asked.sampling.max_tokens == tokens


def test_parts_and_the_developer_role() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    asked = chat(messages=[{"role": "developer", "content": parts}])
    assert isinstance(asked, Ask)
    assert asked.messages == (Message("system", "ab"),)


def test_an_assistant_message_comes_back_as_the_client_got_it() -> None:
    answer = {
        "role": "assistant", "content": "a", "refusal": None, "annotations": [], "audio": None,
        "function_call": None, "tool_calls": None,
    }  # fmt: skip
    asked = chat(messages=[answer])
    assert isinstance(asked, Ask)
    assert asked.messages == (Message("assistant", "a"),)


@pytest.mark.parametrize("fields", NOTHING + CHAT_NOTHING, ids=str)
def test_a_chat_field_that_asks_for_nothing_changes_nothing(fields: dict[str, object]) -> None:
    assert chat(**fields) == chat()
    assert isinstance(chat(), Ask)


@pytest.mark.parametrize("fields", NOTHING + TEXT_NOTHING, ids=str)
def test_a_text_field_that_asks_for_nothing_changes_nothing(fields: dict[str, object]) -> None:
    assert text(**fields) == text()
    assert isinstance(text(), Ask)


@pytest.mark.claim("HTTP-04")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("functions", []), ("function_call", "auto"),
        ("logit_bias", {"1": 5}), ("service_tier", "flex"), ("modalities", ["audio"]),
        ("modalities", ["text", "audio"]), ("modalities", []), ("prediction", {"type": "content"}),
        ("audio", {"voice": "x"}), ("reasoning_effort", "low"), ("verbosity", "low"),
        ("web_search_options", {}), ("moderation", {}), ("suffix", "x"), ("echo", True),
        ("best_of", 1),
    ],
    ids=str,
)  # fmt: skip
def test_a_chat_field_that_asks_for_something_is_refused_by_name(name: str, value: object) -> None:
    refused(chat(**{name: value}), "unknown_parameter", name)


@pytest.mark.claim("HTTP-04")
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("suffix", "x", "unknown_parameter"), ("suffix", "", "unknown_parameter"),
        ("echo", True, "unknown_parameter"), ("best_of", 2, "unknown_parameter"),
        ("logit_bias", {"1": 5}, "unknown_parameter"), ("tools", None, "unknown_parameter"),
        ("max_completion_tokens", 5, "unknown_parameter"), ("n", 2, "invalid_parameter"),
        ("prompt", ["a", "b"], "invalid_parameter"), ("prompt", [], "invalid_parameter"),
        ("prompt", "", "invalid_parameter"), ("prompt", [1, 2], "invalid_parameter"),
        ("prompt", None, "invalid_parameter"), ("max_tokens", 0, "invalid_parameter"),
        ("logprobs", 21, "invalid_parameter"), ("logprobs", True, "invalid_parameter"),
    ],
    ids=str,
)  # fmt: skip
def test_a_text_field_that_asks_for_something_is_refused_by_name(
    name: str, value: object, code: str
) -> None:
    refused(text(**{name: value}), code, name)


@pytest.mark.parametrize("name", ["", "a b", "a\n", "\u00e9", "<|im_end|>", "a" * 65, 1])
def test_a_name_is_openais_pattern(name: object) -> None:
    message = {"role": "user", "content": "hi", "name": name}
    refused(chat(messages=[message]), "invalid_parameter", "messages[0].name")


def refused(found: Ask | ApiError, code: str, param: str) -> None:
    assert isinstance(found, ApiError)
    assert (found.status, found.code) == (400, code)
    assert found.param is not None
    assert found.param == param or found.param.startswith(f"{param}[")


ECHO = "<ZQX>"


@pytest.mark.claim("SAN-06")
@pytest.mark.parametrize(
    "body",
    [
        {ECHO: 1}, {"messages": [{"role": "user", "content": "x", ECHO: 1}]},
        {"messages": [{"role": ECHO, "content": "x"}]}, {"messages": ECHO}, {"stop": {ECHO: ECHO}},
        {"response_format": {"type": ECHO}}, {"temperature": ECHO}, {"service_tier": ECHO},
        {"modalities": [ECHO]}, {"metadata": {ECHO: 1}}, {"tool_choice": ECHO}, {"store": ECHO},
        {"messages": [{"role": "user", "content": [{"type": ECHO}]}]}, {"logit_bias": {ECHO: ECHO}},
        {"messages": [{"role": "user", "content": "x", "name": ECHO}]},
        {"stream_options": {ECHO: 1}},
    ],
    ids=str,
)  # fmt: skip
def test_no_refusal_says_again_what_was_sent(body: dict[str, object]) -> None:
    whole = {"model": "m", "messages": [{"role": "user", "content": "x"}]} | body
    error = parse_chat(json.dumps(whole).encode(), max_tokens=10)
    assert isinstance(error, ApiError)
    assert b"ZQX" not in error.body()
