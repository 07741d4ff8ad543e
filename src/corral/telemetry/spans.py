"""A request's timeline as one line of OTLP JSON: a tree of spans, without content.

Trust: gateway [net]. Input: our own stamps. Every name of an attribute is one of `NAMES`, every
value is of our own tables, a checked name, or a number; ids are ours, at random.

Formats: opentelemetry.io/docs/specs/otlp (JSON protobuf encoding: camelCase, ids in hexadecimal,
64-bit numbers as text, enums as numbers), one `TracesData` a line, which is the file exporter of
opentelemetry.io/docs/specs/otel/protocol/file-exporter. Names: semantic conventions 1.44 for HTTP
and generative AI, with their rules for a span's name, kind and status.

Not the SDK (opentelemetry-sdk 1.45): measured, it takes 0.28 ms of the event loop for these spans
and as long again to encode them, 100 ms at the start and 4 MiB; `bench/traces.py` measures ours.
"""

from __future__ import annotations

import os
from typing import Final, Literal, get_args

import msgspec

from corral import __version__
from corral.telemetry.timeline import Stage, Timeline

Name = Literal[
    "corral.key_prefix", "corral.outcome", "corral.request_id", "corral.tenant", "error.type",
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens", "http.request.method", "http.response.status_code",
    "http.route", "service.name", "service.version",
]  # fmt: skip
NAMES: Final[tuple[Name, ...]] = get_args(Name)
"""Every attribute that there is."""
FIRST_TOKEN: Final = "first_token"  # noqa: S105 - an event's name
_VALUE_CHARACTERS: Final = 256
_INTERNAL, _SERVER, _CLIENT = 1, 2, 3
_ERROR: Final = msgspec.Raw(b'{"code":2}')
_REMOTE: Final = 0x300
"""Flags of a link to a span of somebody else's process."""

_Json = dict[str, object]


def _attributes(values: dict[Name, str | int]) -> list[_Json]:
    """Return the attributes that have a value."""
    return [
        {
            "key": name,
            "value": {"intValue": str(value)}
            if isinstance(value, int)
            else {"stringValue": value[:_VALUE_CHARACTERS]},
        }
        for name, value in values.items()
        if value != ""
    ]


_HEAD: Final = (
    b'{"resourceSpans":[{"resource":{"attributes":'
    + msgspec.json.encode(_attributes({"service.name": "corral", "service.version": __version__}))
    + b'},"scopeSpans":[{"scope":{"name":"corral.gateway"},"spans":'
)
_TAIL: Final = b"}]}]}\n"


def trace_line(timeline: Timeline) -> bytes:
    """Return the trace of a request that is over, as a line with its end."""
    chance = os.urandom(16 + 8 * (2 + len(timeline.stages))).hex()
    trace, root = chance[:32], chance[32:48]
    spans = [_root(timeline, trace, root)]
    stages = timeline.stages
    last = max((n for n, (stage, _) in enumerate(stages) if stage is not None), default=-1)
    for number, (stage, began_ns) in enumerate(stages):
        if stage is None:
            continue
        ended_ns = stages[number + 1][1] if number + 1 < len(stages) else timeline.ended_ns
        start = 48 + 16 * number
        span: _Json = {
            "traceId": trace,
            "spanId": chance[start : start + 16],
            "parentSpanId": root,
            "name": stage,
            "kind": _INTERNAL,
            "startTimeUnixNano": _moment(timeline, began_ns),
            "endTimeUnixNano": _moment(timeline, ended_ns),
        }
        failed = number == last and timeline.code not in {"ok", "cancelled"}
        _tell(span, timeline, stage, failed=failed)
        spans.append(span)
    return _HEAD + msgspec.json.encode(spans) + _TAIL


def _root(timeline: Timeline, trace: str, root: str) -> _Json:
    code, status = timeline.code, timeline.status
    # What the client did wrong is no error of the server, by the conventions.
    failed = status >= 500 or (status < 400 and code not in {"ok", "cancelled"})
    values: dict[Name, str | int] = {
        "http.request.method": timeline.method,
        "http.route": timeline.route,
        "http.response.status_code": status or "",
        "error.type": code if failed else "",
        "corral.outcome": code,
        "corral.request_id": timeline.request_id,
        "corral.tenant": timeline.tenant,
        "corral.key_prefix": timeline.key,
        "gen_ai.request.model": timeline.model,
    }
    span: _Json = {
        "traceId": trace,
        "spanId": root,
        "name": f"{'HTTP' if timeline.method == '_OTHER' else timeline.method} {timeline.route}",
        "kind": _SERVER,
        "startTimeUnixNano": _moment(timeline, timeline.began_ns),
        "endTimeUnixNano": _moment(timeline, timeline.ended_ns),
        "attributes": _attributes(values),
    }
    if failed:
        span["status"] = _ERROR
    if timeline.parent is not None:
        link: _Json = {"traceId": timeline.parent[0], "spanId": timeline.parent[1]}
        span["links"] = [{**link, "flags": _REMOTE}]
    return span


def _tell(span: _Json, timeline: Timeline, stage: Stage, *, failed: bool) -> None:
    values: dict[Name, str | int] = {}
    if stage == "engine":
        prompt, completion, cached = timeline.tokens or ("", "", "")
        values = {
            "gen_ai.operation.name": timeline.operation,
            "gen_ai.provider.name": "corral",
            "gen_ai.request.model": timeline.model,
            "gen_ai.usage.input_tokens": prompt,
            "gen_ai.usage.output_tokens": completion,
            "gen_ai.usage.cache_read.input_tokens": cached,
        }
        span["name"] = f"{timeline.operation} {timeline.model}"
        span["kind"] = _CLIENT
        if timeline.heard_ns:
            heard = {"timeUnixNano": _moment(timeline, timeline.heard_ns), "name": FIRST_TOKEN}
            span["events"] = [heard]
    if failed:
        values["error.type"] = timeline.code
        span["status"] = _ERROR
    if values:
        span["attributes"] = _attributes(values)


def _moment(timeline: Timeline, monotonic_ns: int) -> str:
    """Return a stamp as a time of the wall clock, which is read once: no span runs backwards."""
    return str(timeline.at_ns + monotonic_ns - timeline.began_ns)
