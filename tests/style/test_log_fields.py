"""Every field that a line of our log is given may stand there: one that may not is dropped."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from corral.telemetry.log import FIELDS

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
NOT_FIELDS = {"exc_info"}


def fields_of(source: str) -> set[str]:
    return {
        str(keyword.arg)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LEVELS
        and ast.unparse(node.func.value) == "_log"
        for keyword in node.keywords
    }


@pytest.mark.claim("LOG-01")
def test_no_line_is_given_a_field_that_would_be_dropped() -> None:
    given = {
        (path.name, field)
        for path in (ROOT / "src").rglob("*.py")
        for field in fields_of(path.read_text(encoding="utf-8"))
    }
    assert ("sanitation.py", "policy") in given, "the control: they are found"
    assert {one for one in given if one[1] not in FIELDS | NOT_FIELDS} == set()
