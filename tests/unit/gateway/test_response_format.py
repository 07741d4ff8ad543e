"""Answers that are to be JSON: what is refused, and what of a hostile answer goes out."""

from __future__ import annotations

import json
from typing import Any

import openai
import pydantic
import pytest

from corral.gateway.ask import Ask
from corral.gateway.errors import ApiError
from corral.gateway.sanitation_table import set_document
from corral.gateway.schemas.chat import parse_chat
from corral.guard.json_schema import ANSWER_CHARACTERS_MAX, parse_schema
from corral.guard.output_judge import OutputJudge
from corral.guard.output_schema import SchemaWatch
from corral.guard.policy import built_in
from tests.support.hostile_answers import CARD
from tests.unit.gateway.conftest import Served

PERSON: dict[str, Any] = {
    "type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"], "additionalProperties": False,
}  # fmt: skip
GOOD = '{"name": "Ada", "age": 36}'
BAD = ('{"name": 1}', '{"age": 1}', "Ada", '{"name": "Ada"', '{"name":"a","name":"b"}', "[]")


def form(schema: Any = None) -> dict[str, Any]:
    named = {"name": "person", "schema": PERSON if schema is None else schema, "strict": True}
    return {"type": "json_schema", "json_schema": named}


def parse(**fields: Any) -> Ask | ApiError:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], **fields}
    return parse_chat(json.dumps(body).encode(), max_tokens=64)


def say(served: Served, text: str, **options: Any) -> Any:
    """Ask the model that says what it reads."""
    options = {"response_format": form(), "max_tokens": 1000, **options}
    return served.client().chat.completions.create(
        model="obedient", messages=[{"role": "user", "content": text}], **options
    )


def streamed(served: Served, text: str, **options: Any) -> tuple[str, str]:
    chunks = [c for c in say(served, text, stream=True, **options) if c.choices]
    said = "".join(c.choices[0].delta.content or "" for c in chunks)
    return said, str(chunks[-1].choices[0].finish_reason)


def test_the_engine_is_told_the_schema_that_the_answer_is_held_to() -> None:
    ask = parse(response_format=form())
    assert isinstance(ask, Ask)
    assert ask.schema is not None
    assert ask.sampling.json_schema == ask.schema.text == parse_schema(PERSON, "x").text
    anything = parse(response_format={"type": "json_object"})
    assert isinstance(anything, Ask)
    assert anything.schema is not None
    assert anything.schema.check({"a": [1]}) is None
    assert anything.schema.check([1]) is not None
    text = parse(response_format={"type": "text"})
    assert isinstance(text, Ask)
    assert (text.schema, text.sampling.json_schema) == (None, None)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"response_format": form({"type": "thing"})}, "invalid_schema",
         "response_format.json_schema.schema.type"),
        ({"response_format": form(PERSON), "stop": "}"}, "invalid_parameter", "stop"),
        ({"response_format": {"type": "json_object"}, "stop": ["}"]}, "invalid_parameter", "stop"),
        ({"response_format": form(PERSON),
          "tools": [{"type": "function", "function": {"name": "f"}}]},
         "invalid_parameter", "response_format"),
        ({"response_format": {"type": "grammar"}}, "invalid_parameter", "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "missing_parameter", "json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
         "invalid_parameter", "response_format.json_schema.name"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": 1}}},
         "invalid_parameter", "response_format.json_schema.schema"),
        ({"response_format": {"type": "text", "grammar": "x"}}, "unknown_parameter",
         "response_format.grammar"),
    ],
)  # fmt: skip
def test_what_is_refused(fields: dict[str, Any], code: str, param: str) -> None:
    refused = parse(**fields)
    assert isinstance(refused, ApiError)
    assert (refused.status, refused.code, refused.param) == (400, code, param)


def test_tools_that_may_not_be_called_are_no_hindrance() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert isinstance(parse(response_format=form(), tools=tools, tool_choice="none"), Ask)


@pytest.mark.claim("SCHEMA-02")
def test_a_hostile_answer_that_is_not_of_the_schema_does_not_pass(served: Served) -> None:
    assert say(served, GOOD).choices[0].message.content == GOOD
    assert streamed(served, GOOD) == (GOOD, "stop")
    for text in BAD:
        with pytest.raises(openai.BadRequestError) as refused:
            say(served, text)
        assert refused.value.code == "output_stopped.schema_mismatch"
        assert text not in str(refused.value)
        assert streamed(served, text)[1] == "content_filter"
        # The control: without a form the same answer goes out.
        assert say(served, text, response_format=openai.omit).choices[0].message.content == text


@pytest.mark.claim("SCHEMA-02")
def test_no_policy_lets_it_pass(served: Served) -> None:
    off = '[policies.mine]\nbase = "off"\nmode = "report"\nweakening = "a test"\n'
    set_document(served.home.database, f'default = "mine"\n{off}')
    with pytest.raises(openai.BadRequestError):
        say(served, BAD[0])


def test_an_answer_that_is_cut_says_so(served: Served) -> None:
    choice = say(served, GOOD, max_tokens=2).choices[0]
    assert (choice.message.content, choice.finish_reason) == ('{"name": "Ada",', "length")
    with pytest.raises(openai.LengthFinishReasonError):
        served.client().chat.completions.parse(
            model="obedient", messages=[{"role": "user", "content": GOOD}], max_tokens=2,
            response_format=_Person,
        )  # fmt: skip


class _Person(pydantic.BaseModel):
    name: str
    age: int | None = None


def test_the_official_client_parses_answers_into_its_models(served: Served) -> None:
    answer = served.client().chat.completions.parse(
        model="obedient", messages=[{"role": "user", "content": GOOD}], max_tokens=100,
        response_format=_Person,
    )  # fmt: skip
    assert answer.choices[0].message.parsed == _Person(name="Ada", age=36)


@pytest.mark.claim("SCHEMA-03")
def test_what_a_policy_takes_out_leaves_json_or_nothing(served: Served) -> None:
    within = json.dumps({"name": f"card {CARD} <img src=x>"})
    said = say(served, within).choices[0].message.content
    assert json.loads(said) == {"name": "card [payment card] <img src=x>"}
    assert "<" not in said, "programs read it, and pages show it"
    assert streamed(served, within) == (said, "stop")
    number = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    bare = f'{{"n": {CARD.replace(" ", "").replace("-", "")}}}'
    with pytest.raises(openai.BadRequestError) as refused:
        say(served, bare, response_format=form(number))
    assert refused.value.code == "output_stopped.schema_mismatch"
    assert streamed(served, bare, response_format=form(number))[1] == "content_filter"


def test_an_answer_that_is_too_long_to_be_looked_at_ends() -> None:
    judge = OutputJudge(built_in("off").effective())
    watch = SchemaWatch(parse_schema({}, "x"), judge)
    watch.hear('"')
    for _ in range(ANSWER_CHARACTERS_MAX // 1024):
        assert judge.stopped is None
        watch.hear("x" * 1024)
    assert judge.stopped == "schema_mismatch"
    watch.hear("more")
    watch.close()
    assert judge.seen["schema_mismatch"] == 1


@pytest.mark.claim("SCHEMA-03")
def test_what_comes_back_for_a_placeholder_cannot_end_a_text_of_json(served: Served) -> None:
    term = 'x", "age": 7, "name": "y'
    document = json.dumps([term])[1:-1]
    set_document(
        served.home.database,
        f'default = "mine"\n[policies.mine]\nbase = "balanced"\n'
        f'[policies.mine.options]\npersonal = "placeholder"\nprivate_terms = [{document}]\n',
    )
    asked = f'{{"name": "{term}"}}'
    for text in (say(served, asked).choices[0].message.content, streamed(served, asked)[0]):
        assert json.loads(text) == {"name": term}
    # The control: as an ordinary answer the same text has another member.
    plain = say(served, asked, response_format=openai.omit).choices[0].message.content
    assert json.loads(plain) == {"name": "y", "age": 7}
