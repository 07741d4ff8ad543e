"""What a probe program says, as values.

Trust: operator side. Input: lines of a program that is hostile by assumption: bounded, checked
against a closed schema, and never shown before that.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

LINE_BYTES: Final = 512
LINES_MAX: Final = 400
_ID: Final = re.compile(r"[a-z0-9]{1,16}\.[a-z0-9-]{1,40}")
_OUTCOME: Final = re.compile(r"[A-Za-z0-9_=-]{1,40}")


class ProbeBrokeProtocol(Exception):  # noqa: N818 - a verdict on the program
    """The program said something that no probe says."""


@dataclass(frozen=True, slots=True)
class Said:
    """One line: what came of a probe."""

    probe: str
    outcome: str


def parse_line(line: bytes) -> Said | None:
    """Return one result, or None for the line that ends the results.

    Raises:
        ProbeBrokeProtocol: anything else.
    """
    if len(line) > LINE_BYTES:
        raise ProbeBrokeProtocol("a line is too long")
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProbeBrokeProtocol("a line is not JSON") from error
    if document == {"end": True}:
        return None
    if not isinstance(document, dict) or set(document) != {"id", "outcome"}:
        raise ProbeBrokeProtocol("a line has other fields")
    name, outcome = document["id"], document["outcome"]
    if not isinstance(name, str) or not isinstance(outcome, str):
        raise ProbeBrokeProtocol("a field has another type")
    if not _ID.fullmatch(name) or not _OUTCOME.fullmatch(outcome):
        raise ProbeBrokeProtocol("a field has another form")
    return Said(name, outcome)
