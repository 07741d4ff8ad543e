"""The documents stay true: settings, commands and links."""

from __future__ import annotations

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


def test_no_word_of_a_help_is_taken_for_markup() -> None:
    """On a terminal `[trust.signers]` would be taken for a style, and left out."""
    markup = re.compile(r'help="[^"]*(?<!\\)\[[a-z/#@][^"\]]*\]')
    assert markup.search('help="A signer of [trust.signers] must sign"'), "the control"
    for path in (ROOT / "src/corral/cli").glob("*.py"):
        assert not markup.search(path.read_text(encoding="utf-8")), path.name


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_page_sends_its_reader_to_our_issues() -> None:
    """A promise of "issue 5" is forgotten when that is done. Decisions may name them."""
    promise = re.compile(r"\bissue \d")
    assert promise.search("weighted shares are issue 5"), "the control"
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    assert [p.name for p in pages if promise.search(p.read_text(encoding="utf-8"))] == []
