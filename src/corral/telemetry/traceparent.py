"""What a caller says its request is part of: the `traceparent` header.

Trust: gateway [net]. Input: hostile headers. Taken whole or not at all: version 00, 55 characters,
lower case, no id of zeros (www.w3.org/TR/trace-context, section 3.2). The result is shown as a link
only: it names no trace of ours, and the caller's flags choose nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

TRACEPARENT: Final = b"traceparent"
_FORM: Final = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def caller_span(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str] | None:
    """Return trace and span in hexadecimal, or None unless exactly one sound header says it."""
    values = [value for name, value in headers if name == TRACEPARENT]
    found = _FORM.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
        return None
    trace, span = found[1].decode(), found[2].decode()
    return (trace, span) if trace.strip("0") and span.strip("0") else None
