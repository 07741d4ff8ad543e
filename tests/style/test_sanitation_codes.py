"""Each kind of finding is documented, by its code where it can end a request or an answer."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from corral.guard.finding import Handling
from corral.guard.kinds import KINDS

ROOT = Path(__file__).parents[2]
PREFIX = {"input": "input_rejected", "output": "output_stopped"}


def test_every_code_of_the_sanitation_is_documented_and_no_other() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`((?:input_rejected|output_stopped)\.[a-z_]+)`", page))
    made = {
        f"{PREFIX[kind.direction]}.{name}"
        for name, kind in KINDS.items()
        if Handling.REFUSE in kind.choices
    }
    assert documented == made


def test_every_kind_is_explained() -> None:
    page = (ROOT / "docs" / "sanitation.md").read_text(encoding="utf-8")
    assert [name for name in KINDS if f"`{name}`" not in page] == []


def test_findings_are_of_the_closed_list() -> None:
    named = {
        str(node.args[0].value)
        for path in (ROOT / "src" / "corral" / "guard").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "Finding"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert {"invalid_text", "special_token"} <= named <= set(KINDS)
