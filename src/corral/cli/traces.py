"""`corral traces`: what requests did when, for people or for a collector.

Trust: operator side. Input: files that the gateway's zone can write: read as
`telemetry.trace_files` says; what is no trace of ours is left out, and nothing is printed with
control characters.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
import typer

from corral.cli.options import HomeOption, effective_config
from corral.cli.terminal import plain_line, print_note
from corral.core.home import Home
from corral.telemetry.trace_files import follow_traces, read_traces

app = typer.Typer(no_args_is_help=True, help="Traces: what requests did when, without content.")

_SAID: Final = (
    "http.response.status_code", "corral.outcome", "corral.tenant", "corral.key_prefix",
    "gen_ai.request.model", "corral.request_id",
)  # fmt: skip


class _Value(msgspec.Struct, rename="camel"):
    string_value: str = ""
    int_value: str = ""


class _Attribute(msgspec.Struct):
    key: str
    value: _Value


class _Event(msgspec.Struct, rename="camel"):
    time_unix_nano: str


class _Span(msgspec.Struct, rename="camel"):
    name: str
    start_time_unix_nano: str
    end_time_unix_nano: str
    parent_span_id: str = ""
    attributes: tuple[_Attribute, ...] = ()
    events: tuple[_Event, ...] = ()

    def said(self) -> dict[str, str]:
        return {one.key: one.value.string_value or one.value.int_value for one in self.attributes}


class _Spans(msgspec.Struct):
    spans: tuple[_Span, ...]


class _Resource(msgspec.Struct, rename="camel"):
    scope_spans: tuple[_Spans, ...]


class _Traces(msgspec.Struct, rename="camel"):
    resource_spans: tuple[_Resource, ...]


_TRACES: Final = msgspec.json.Decoder(_Traces)


@app.command("tail")
def tail(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many of the newest traces.")
    ] = 50,
    home: HomeOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print them as they are: OTLP, one document a line.")
    ] = False,
) -> None:
    """Show the newest traces, oldest first: who asked what, and how long each stage took.

    Example: corral traces tail -f -n 20
    """
    place = Home.locate(home)
    folder = place.state
    newest = deque(read_traces(folder), lines)
    if not newest and not effective_config(place).telemetry.trace_files:
        print_note("no traces: telemetry.trace_files is 0, see docs/traces.md")
    try:
        for source in (newest, follow_traces(folder) if follow else ()):
            _show(source, as_json=as_json)
    except KeyboardInterrupt:
        return


@app.command("export")
def export(home: HomeOption = None) -> None:
    """Write all traces to stdout as OTLP JSON, one document a line, oldest first.

    Example: corral traces export > traces.jsonl
    """
    _show(read_traces(Home.locate(home).state), as_json=True)


def trace_sentence(line: bytes) -> str | None:
    """Return one trace for people, safe for a terminal; None for what is none of ours."""
    try:
        document = _TRACES.decode(line)
        spans = document.resource_spans[0].scope_spans[0].spans
        root = next(span for span in spans if not span.parent_span_id)
        said = root.said()
        began_s = int(root.start_time_unix_nano) / 1e9
        moment = datetime.fromtimestamp(began_s, tz=UTC).isoformat(timespec="milliseconds")
        words = [moment, root.name, *(said.get(name, "") for name in _SAID), _took(root)]
        words += [_stage(span) for span in spans if span.parent_span_id]
    except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, StopIteration, ValueError,
            OverflowError, OSError):  # fmt: skip
        return None
    return plain_line("  ".join(word for word in words if word))


def _stage(span: _Span) -> str:
    said = span.said()
    if "gen_ai.operation.name" not in said:
        return f"{span.name} {_took(span)}"
    text = f"engine {_took(span)}"
    if span.events:
        first_ns = int(span.events[0].time_unix_nano) - int(span.start_time_unix_nano)
        text += f" (first token {first_ns / 1e6:.1f} ms)"
    counts = [said.get(f"gen_ai.usage.{kind}_tokens", "?") for kind in ("input", "output")]
    return f"{text}  tokens {'+'.join(counts)}"


def _took(span: _Span) -> str:
    return f"{(int(span.end_time_unix_nano) - int(span.start_time_unix_nano)) / 1e6:.1f} ms"


def _show(source: Iterable[bytes], *, as_json: bool) -> None:
    for line in source:
        if as_json:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        elif (sentence := trace_sentence(line)) is not None:
            sys.stdout.write(sentence + "\n")
            sys.stdout.flush()
