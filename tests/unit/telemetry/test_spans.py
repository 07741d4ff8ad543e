"""The form of a trace: what a collector can read, closed names, and what callers say of theirs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.semconv import attributes as stable
from opentelemetry.semconv._incubating import attributes as incubating

from corral.telemetry.spans import NAMES, trace_line
from corral.telemetry.timeline import STAGES, UNTRACED, Stage, Timeline
from corral.telemetry.traceparent import caller_span
from tests.support.otlp import read_tree

ROOT = Path(__file__).parents[3]
SOUND = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def finished(stages: list[Stage | None], code: str = "ok", status: int = 200) -> Timeline:
    done: list[Timeline] = []
    line = Timeline("POST", "/v1/completions", "req_1", done.append)
    line.by("acme", "sk-corral-1")
    for stage in stages:
        line.enter(stage)
    line.answered(status)
    line.end(code)
    assert done == [line]
    return line


@given(
    st.lists(st.sampled_from(STAGES), unique=True, max_size=6), st.booleans(),
    st.sampled_from(["ok", "cancelled", "engine_error"]), st.sampled_from([0, 200, 404, 429, 502]),
)  # fmt: skip
def test_any_order_of_stages_is_a_sound_trace(
    stages: list[Stage], ended: bool, code: str, status: int
) -> None:
    line = trace_line(finished([*stages, *([None] if ended else [])], code, status))
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    tree = read_tree(line)
    assert list(tree.parts) == stages
    assert set(tree.said()) <= {*NAMES}


def test_every_name_of_an_attribute_is_ours_or_of_the_conventions() -> None:
    known: set[str] = set()
    for folder in (*stable.__path__, *incubating.__path__):
        for path in Path(folder).rglob("*.py"):
            known |= set(re.findall(r'Final = "([a-z0-9_.]+)"', path.read_text(encoding="utf-8")))
    assert {"http.route", "gen_ai.prompt"} <= known
    assert [name for name in NAMES if name not in known and not name.startswith("corral.")] == []
    page = (ROOT / "docs" / "traces.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in (*NAMES, *STAGES))


def test_a_clock_that_is_set_back_turns_no_span_round(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Timeline("GET", "/", "req_1", lambda _: None)
    monkeypatch.setattr("time.time_ns", lambda: 0)
    line.enter("receive")
    line.end("ok")
    tree = read_tree(trace_line(line))
    assert tree.root.start_time_unix_nano > 1_700_000_000_000_000_000


def test_tokens_that_come_later_are_waited_for() -> None:
    done: list[Timeline] = []
    line = Timeline("POST", "/v1/completions", "req_1", done.append)
    line.owe()
    line.enter("engine")
    line.end("cancelled")
    assert done == []
    line.settle(7, 2, 0)
    assert done == [line]
    assert read_tree(trace_line(line)).said("engine")["gen_ai.usage.output_tokens"] == 2
    for told in (lambda: UNTRACED.enter("engine"), UNTRACED.owe, UNTRACED.hear,
                 lambda: UNTRACED.settle(1, 1, 1), lambda: UNTRACED.by("a", "b"),
                 lambda: UNTRACED.about("m", "chat"), lambda: UNTRACED.answered(200)):  # fmt: skip
        told()
    assert UNTRACED.stages == []
    assert (UNTRACED.status, UNTRACED.tenant, UNTRACED.model, UNTRACED.tokens) == (0, "", "", None)


def test_numbers_of_64_bits_are_text_and_enums_numbers() -> None:
    """Which protobuf's own reader does not insist on, and collectors' readers may."""
    (root, *_) = json.loads(trace_line(finished(["engine"])))["resourceSpans"][0]["scopeSpans"][0][
        "spans"
    ]
    assert isinstance(root["startTimeUnixNano"], str)
    assert isinstance(root["kind"], int)
    assert re.fullmatch(r"[0-9a-f]{32}", root["traceId"])
    values = [one["value"] for one in root["attributes"] if "intValue" in one["value"]]
    assert values == [{"intValue": "200"}]


@pytest.mark.claim("OBS-04")
def test_a_sound_traceparent() -> None:
    found = caller_span([(b"accept", b"x"), (b"traceparent", SOUND)])
    assert found == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert caller_span([]) is None


@pytest.mark.claim("OBS-04")
@pytest.mark.parametrize(
    "value",
    [
        SOUND.upper(), SOUND + b" ", b" " + SOUND, SOUND + b"\n", SOUND[:-1], SOUND + b"-more",
        b"01" + SOUND[2:], b"ff" + SOUND[2:], SOUND.replace(b"-", b"_"), b"",
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01",
        SOUND.replace(b"a", "\u0661".encode()),
    ],
    ids=range(13),
)  # fmt: skip
def test_any_other_traceparent_is_none(value: bytes) -> None:
    assert caller_span([(b"traceparent", value)]) is None
    assert caller_span([(b"traceparent", SOUND), (b"traceparent", value)]) is None


@given(st.binary(max_size=60))
def test_nothing_but_that_form_is_taken(value: bytes) -> None:
    found = caller_span([(b"traceparent", value)])
    if found is not None:
        assert value[:-2] == b"00-%b-%b-" % (found[0].encode(), found[1].encode())
