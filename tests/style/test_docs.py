"""The documents stay true: settings, commands and security claims."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

from corral.cli.reference import render_reference
from corral.core.config import Config

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", text, re.MULTILINE))
    config = Config()
    settings = {
        f"{section.name}.{setting.name}"
        for section in fields(config)
        for setting in fields(getattr(config, section.name))
    }
    assert documented == settings


def test_command_reference_is_what_help_says() -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == render_reference(), "write it anew: make docs"


def test_every_claim_has_a_test_and_every_marked_test_a_claim() -> None:
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    claimed = re.findall(r"^\| ([A-Z]+-[0-9]+) \|", text, re.MULTILINE)
    assert len(claimed) == len(set(claimed)), "a claim id is used twice"
    assert claimed, "no claims"
    assert set(claimed) == marked_claims()


def marked_claims() -> set[str]:
    """Return the ids in `pytest.mark.claim("ID", ...)` of every test."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.claim"):
                found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return found


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
