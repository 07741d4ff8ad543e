"""Answers with texts and calls, on their way out: the same wherever they are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.guard.json_schema import parse_schema
from corral.guard.output_chain import Asked, OutputRules
from corral.guard.policy import Base, built_in
from corral.guard.special_tokens import ControlTokens
from corral.guard.tool_answer import ToolAnswer, tool_answer
from corral.guard.tool_use import Tool, ToolUse
from tests.support.hostile_answers import CARD, EMAIL, GITHUB

CANARY = "bcdfghjkmnpqrstv"
ANY = {"type": "object", "additionalProperties": True}
TOKENS = ControlTokens(("<|im_end|>",))
RULES: dict[str, OutputRules] = {
    name: OutputRules(built_in(name), TOKENS) for name in ("strict", "balanced", "off")
}
PROMPT = "one two three four five six seven eight nine ten"


def use(*names: str, sensitive: bool = False, **options: Any) -> ToolUse:
    tools = tuple(
        Tool(name=name, place=n, declared="{}", schema=parse_schema(ANY, "x"), parameters=ANY,
             sensitive=sensitive)
        for n, name in enumerate(names)
    )  # fmt: skip
    return ToolUse(tools=tools, **options)


def call(name: str = "f", **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def answer(policy: Base = "strict", *, tainted: bool = False, tools: ToolUse | None = None,
           **asked: Any) -> ToolAnswer:  # fmt: skip
    rules, about = RULES[policy], Asked(**asked)
    return tool_answer(rules, rules.chain(about), about, tools or use("f", "g"), tainted=tainted)


def told(one: ToolAnswer, *pieces: str) -> tuple[str, list[tuple[str, Any]], list[str]]:
    """Return text, calls, and why others are withheld."""
    spoken = [said for piece in pieces for said in one.feed(piece)]
    spoken += one.flush()
    calls = [(s.call.name, json.loads(s.call.arguments)) for s in spoken if s.call]
    return "".join(part.text for part in spoken), calls, [held.kind for held in one.withheld]


@pytest.mark.claim("TOOL-05")
@pytest.mark.parametrize(
    "arguments",
    [
        {"a": CANARY}, {"a": f"x{CANARY[::-1]}"}, {"a": CANARY.encode().hex()}, {CANARY: 1},
        {"a": [CANARY[:8], CANARY[8:]]}, {CANARY[:8]: CANARY[8:]}, {"a": "-".join(CANARY)},
    ],
    ids=str,
)  # fmt: skip
def test_arguments_do_not_tell_the_canary(arguments: dict[str, object]) -> None:
    one = answer(canary=CANARY)
    assert told(one, "so ", call(**arguments), " and") == ("so", [], [])
    assert one._chain.stopped is not None
    assert one._chain.stopped.code == "output_stopped.canary_leak"
    control = answer("off", canary=CANARY)
    assert told(control, call(**arguments))[1] == [("f", arguments)], "the control"


def test_arguments_do_not_tell_the_system_prompt_where_a_policy_counts_it() -> None:
    one = answer(prompts=(PROMPT,))
    assert told(one, call(a=PROMPT))[1]
    assert one._chain.judge.seen["prompt_leak"] > 0


def test_placeholders_come_back_in_arguments() -> None:
    one = answer("balanced", restored={"EMAIL-1-Q7XKM2PTZ4": EMAIL})
    assert told(one, call(to="EMAIL-1-Q7XKM2PTZ4"))[1] == [("f", {"to": EMAIL})]


def test_a_number_that_is_no_secret_stays_a_number() -> None:
    values = {"a": 1, "b": 2.5, "c": True, "d": None, "e": [10**20, -3], "f": {}}
    assert told(answer(), call(**values))[1] == [("f", values)]


def test_more_values_than_are_looked_at_are_no_arguments() -> None:
    assert told(answer(), call(a=[0] * 2000))[2] == ["tool_arguments"]
    assert told(answer(), call(a=[0] * 500))[1] != []


@pytest.mark.claim("TOOL-03")
def test_a_dry_run_lets_a_sensitive_call_pass_and_tells() -> None:
    tools = use("f", sensitive=True)
    assert told(answer("balanced", tainted=True, tools=tools), call())[1:] == (
        [], ["tool_needs_confirmation"],
    )  # fmt: skip
    assert told(answer("balanced", tainted=False, tools=tools), call())[1] == [("f", {})]
    confirmed = use("f", sensitive=True, confirmed=frozenset({"f"}))
    assert told(answer("balanced", tainted=True, tools=confirmed), call())[1] == [("f", {})]
    assert told(answer("off", tainted=True, tools=tools), call())[1] == [("f", {})], "the control"


def test_arguments_are_looked_at_in_pieces() -> None:
    one = answer("strict", canary=CANARY)
    long, many = {"a": "word " * 9000}, {f"k{n}": f"v{n}" for n in range(500)}
    for arguments in (long, many):
        spoken = list(one.feed(call(**arguments)))
        assert max(said.looked_at for said in spoken) <= 2048
        assert len(spoken) > 20
        assert [json.loads(said.call.arguments) for said in spoken if said.call] == [arguments]


_PIECES = st.sampled_from((
    call(a=GITHUB), call("nothing"), call(a=CANARY), call("g", b=[CARD, 1]), "<tool_call>",
    "</tool_call>", " ", "\n", "words ", GITHUB, "<|im_end|>", "![x](https://e.vil/?q=1)", "<b>",
    CANARY[:9], CANARY[9:], "`", "<script>", "</tool", '{"name"', "ghp_", "**",
))  # fmt: skip


@pytest.mark.claim("TOOL-01")
@pytest.mark.parametrize("policy", ["strict", "balanced", "off"])
@settings(max_examples=120, deadline=None)
@given(pieces=st.lists(_PIECES, max_size=10), data=st.data())
def test_cuts_change_neither_text_nor_calls(
    policy: Base, pieces: list[str], data: st.DataObject
) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    def run(*some: str) -> object:
        one = answer(policy, canary=CANARY, prompts=(PROMPT,), tainted=True)
        return told(one, *some), one._chain.stopped, one._chain.judge.seen

    assert run(*parts) == run(text) == run(*text)
