"""Structured answers of the real engine and model, asked for with the official client."""

from __future__ import annotations

import json
from typing import Any, Literal

import pydantic
import pytest

from corral.guard.json_schema import parse_schema
from tests.support.server import MODEL, RunningServer


class Animal(pydantic.BaseModel):
    """What is asked for."""

    name: str = pydantic.Field(max_length=12)
    kind: Literal["cat", "dog", "horse"]
    legs: int = pydantic.Field(ge=0, le=8)
    weight: float = pydantic.Field(gt=0, lt=1000)
    born: str = pydantic.Field(json_schema_extra={"format": "date"})
    tags: list[str] = pydantic.Field(max_length=2)
    owner: str | None = pydantic.Field(max_length=12)


MESSAGES: Any = [{"role": "user", "content": "Describe a horse called Star, as JSON."}]
FORM: Any = {
    "type": "json_schema", "json_schema": {"name": "animal", "schema": Animal.model_json_schema()},
}  # fmt: skip


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_the_official_client_gets_its_model(
    shared_server: RunningServer, temperature: float
) -> None:
    for seed in range(3):
        answer = shared_server.openai().chat.completions.parse(
            model=MODEL, messages=MESSAGES, max_tokens=300, temperature=temperature, seed=seed,
            response_format=Animal,
        )  # fmt: skip
        assert isinstance(answer.choices[0].message.parsed, Animal)
        assert answer.choices[0].finish_reason == "stop"


def test_a_stream_gives_the_same_json(shared_server: RunningServer) -> None:
    asked: dict[str, Any] = {
        "model": MODEL, "messages": MESSAGES, "max_tokens": 300, "temperature": 0,
        "response_format": FORM,
    }  # fmt: skip
    client = shared_server.openai()
    whole = client.chat.completions.create(**asked).choices[0].message.content
    chunks = [one for one in client.chat.completions.create(stream=True, **asked) if one.choices]
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == whole
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert parse_schema(Animal.model_json_schema(), "x").check_text(whole or "") is None


def test_log_probabilities_go_with_it(shared_server: RunningServer) -> None:
    choice = shared_server.openai().chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=300, temperature=0, response_format=FORM,
        logprobs=True, top_logprobs=2,
    ).choices[0]  # fmt: skip
    assert choice.logprobs is not None
    told = "".join(one.token for one in choice.logprobs.content or ())
    assert told == choice.message.content


def test_an_object_of_any_members(shared_server: RunningServer) -> None:
    choice = shared_server.openai().chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=400, temperature=0,
        response_format={"type": "json_object"},
    ).choices[0]  # fmt: skip
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content or ""), dict)
    else:
        assert choice.finish_reason == "length"
        assert (choice.message.content or "").startswith("{")


def test_without_a_form_the_model_says_no_json(shared_server: RunningServer) -> None:
    """The control: it is the schema that makes it."""
    text = shared_server.openai().chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=100, temperature=0
    ).choices[0].message.content  # fmt: skip
    with pytest.raises(ValueError, match=r"Expecting|Extra|Unterminated"):
        json.loads(text or "")
