"""What an advisory calls not reached is not reached: not built, switched off, or not askable."""

from __future__ import annotations

import json
from importlib import metadata

import msgspec
import pytest
import xllamacpp

from corral.advisories.database import shipped_records
from corral.advisories.engine import UNUSED, installed_engine, judge
from corral.engine.wire import Generate, encode_line
from corral.gateway.errors import ApiError
from corral.gateway.schemas.chat import parse_chat
from corral.gateway.schemas.completion import parse_completion

MESSAGES = [{"role": "user", "content": "hi"}]
ASKED = {
    "n-discard": ("n_discard", -1),
    "chat-parser": ("chat_parser", "x"),
    "grammar": ("grammar", 'root ::= "a"'),
}
"""Features that a request would have to ask for."""
UNBUILT = {"rpc": b"ggml_backend_rpc_init", "rdma": b"ibv_"}
UNSENT = {"tools"}
"""Fields of the engine that no request sets, whatever a caller asks."""
OFF = {"slot-save": ("slot_save_path", ""), "sleep": ("sleep_idle_seconds", -1)}


def test_every_feature_that_is_called_unreached_is_tested_here() -> None:
    engine = installed_engine().build
    assert engine is not None
    assert {*UNUSED, *engine.without} == {*ASKED, *UNBUILT, *OFF, *UNSENT}
    named = {r.corral.feature for r in shipped_records() if r.corral.feature}
    assert named == {*ASKED, *UNBUILT, *OFF, *UNSENT}


@pytest.mark.claim("ADV-03")
@pytest.mark.parametrize("feature", ASKED)
def test_no_request_can_ask_for_it(feature: str) -> None:
    name, value = ASKED[feature]
    chat = {"model": "m", "messages": MESSAGES}
    completion = {"model": "m", "prompt": "hi"}
    for parse, good in ((parse_chat, chat), (parse_completion, completion)):
        assert not isinstance(parse(json.dumps(good).encode(), max_tokens=9), ApiError)
        refused = parse(json.dumps(good | {name: value}).encode(), max_tokens=9)
        assert isinstance(refused, ApiError)
        assert refused.code == "unknown_parameter"


@pytest.mark.claim("ADV-03")
def test_tools_are_text_to_the_engine() -> None:
    tools = [{"type": "function", "function": {"name": "look_up"}}]
    body = json.dumps({"model": "m", "messages": MESSAGES, "tools": tools}).encode()
    ask = parse_chat(body, max_tokens=9)
    assert not isinstance(ask, ApiError)
    sent = ask.as_read()
    line = msgspec.json.decode(encode_line(Generate(1, sent.sampling, sent.messages)))
    assert set(line) == {"op", "id", "sampling", "messages", "prompt"}
    assert [set(one) for one in line["messages"]] == [{"role", "content"}] * 2
    assert "look_up" in line["messages"][0]["content"], "the control: the model is told of it"


@pytest.mark.parametrize(
    "field", ["chat_template", "chat_template_kwargs", "json_schema", "id_slot"]
)
def test_no_request_can_bring_what_others_take(field: str) -> None:
    body = json.dumps({"model": "m", "messages": MESSAGES, field: {}}).encode()
    refused = parse_chat(body, max_tokens=9)
    assert isinstance(refused, ApiError)
    assert refused.code == "unknown_parameter"


@pytest.mark.claim("ADV-03")
@pytest.mark.parametrize("feature", UNBUILT)
def test_it_is_not_in_the_engine(feature: str) -> None:
    library = metadata.distribution("xllamacpp").locate_file("xllamacpp/xllamacpp.abi3.so")
    with open(str(library), "rb") as file:
        code = file.read()
    assert UNBUILT[feature] not in code
    assert b"ggml_backend_cpu_init" in code, "the control: a part that is built is found"


@pytest.mark.claim("ADV-03")
@pytest.mark.parametrize("feature", OFF)
def test_it_is_off_unless_somebody_switches_it_on(feature: str) -> None:
    name, off = OFF[feature]
    assert getattr(xllamacpp.CommonParams(), name) == off


def test_nothing_that_affects_the_engine_is_left_over() -> None:
    engine = installed_engine().build
    assert [r.id for r in shipped_records() if judge(r, engine) == "affected"] == []
