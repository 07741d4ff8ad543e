"""Traces as a collector reads them: by OpenTelemetry's own protobuf model."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

IDS = ("traceId", "spanId", "parentSpanId")


@dataclass
class Tree:
    """One trace.

    Attributes:
        root: the span without a parent.
        parts: its children, by name; the engine's by `engine`.
    """

    root: Span
    parts: dict[str, Span]

    def said(self, part: str | None = None) -> dict[str, Any]:
        span = self.parts[part] if part else self.root
        return attributes(span)

    @property
    def outcome(self) -> str:
        return str(self.said()["corral.outcome"])


def attributes(span: Any) -> dict[str, Any]:
    names = [one.key for one in span.attributes]
    assert len(names) == len(set(names))
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def read_document(line: bytes) -> TracesData:
    """Parse a line; a field that OTLP does not have is an error.

    OTLP's JSON differs from protobuf's in one thing: ids are in hexadecimal, not in base64.
    """
    return ParseDict(_with_base64(json.loads(line)), TracesData())


def _with_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_base64(one) for one in value]
    if isinstance(value, dict):
        return {
            name: base64.b64encode(bytes.fromhex(one)).decode()
            if name in IDS
            else _with_base64(one)
            for name, one in value.items()
        }
    return value


def read_tree(line: bytes) -> Tree:
    """Return the one trace of a line, whose form must be right."""
    document = read_document(line)
    (resource,) = document.resource_spans
    assert attributes(resource.resource)["service.name"] == "corral"
    (scope,) = resource.scope_spans
    root, *parts = scope.spans
    assert root.kind == Span.SPAN_KIND_SERVER
    assert not root.parent_span_id
    ids = {one.span_id for one in scope.spans}
    assert len(ids) == len(scope.spans)
    found = {}
    before = root.start_time_unix_nano
    for one in scope.spans:
        assert (len(one.trace_id), len(one.span_id)) == (16, 8)
        assert one.trace_id == root.trace_id
    for one in parts:
        assert one.parent_span_id == root.span_id
        # Stages follow each other, within the request.
        assert before <= one.start_time_unix_nano <= one.end_time_unix_nano
        assert one.end_time_unix_nano <= root.end_time_unix_nano
        before = one.end_time_unix_nano
        name = "engine" if one.kind == Span.SPAN_KIND_CLIENT else one.name
        found[name] = one
    assert len(found) == len(parts)
    return Tree(root, found)


def read_trees(lines: Iterable[bytes]) -> list[Tree]:
    return [read_tree(line) for line in lines]
