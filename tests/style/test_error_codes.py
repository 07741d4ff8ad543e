"""Every stable code is documented, under those who meet it, and every documented one exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.style.minted_codes import CARRIERS, Minted, minted_codes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
SECTIONS = {
    "ApiError": "HTTP API",
    "Refusal": "HTTP API",
    "Unavailable": "HTTP API",
    "bad_request": "HTTP API",
    "ConfigError": "Command line",
    "Denied": "Command line",
    "IpcError": "Between zones",
    "Finding": "Findings of the scanner",
    "ScanRefusal": "Findings of the scanner",
}
"""Under which heading a code stands by what carries it; the other carriers have several readers."""


@pytest.fixture(scope="module")
def minted() -> Minted:
    return minted_codes(ROOT / "src" / "corral")


def documented() -> dict[str, set[str]]:
    """Return the codes by heading: the first column of tables, and lines of nothing but codes."""
    found: dict[str, set[str]] = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        found[title] = set()
        for line in body.splitlines():
            if line.startswith("| `"):
                found[title] |= set(re.findall(r"`([a-z0-9_]+)`", line.split("|")[1]))
            elif title.startswith("Findings"):
                found[title] |= set(re.findall(r"`([a-z0-9_]+)`", line)) - {"accept"}
    return found


def test_every_code_is_documented_and_every_documented_code_exists(minted: Minted) -> None:
    page = set().union(*documented().values())
    assert page - set(minted.places) == set(), "no source makes these"
    assert {c: minted.places[c] for c in set(minted.places) - page} == {}, "not in docs/errors.md"


def test_codes_stand_under_those_who_meet_them(minted: Minted) -> None:
    page = documented()
    misplaced = {
        f"{code}: {SECTIONS[kind]}"
        for code, kinds in minted.kinds.items()
        for kind in kinds & set(SECTIONS)
        if code not in page[SECTIONS[kind]]
    }
    assert misplaced == set()


def test_no_code_is_made_in_a_way_that_the_finder_does_not_follow(minted: Minted) -> None:
    assert minted.unresolved == []


def test_every_carrier_still_exists() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "src").rglob("*.py"))
    for name in CARRIERS:
        assert re.search(rf"^class {name}\b", text, re.MULTILINE), name


def test_the_finder_finds(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "FULL: Final = 'constant'\n"
        "TABLE = {1: 'from_table'}\n"
        "def refuse(code, text=''): raise CorralError(code, text)\n"
        "def outer(why): refuse(why)\n"
        "def named(*, code='by_default'): return Denied(code, '')\n"
        "def f(x):\n"
        "    CorralError(FULL, ''); ApiError(400, 'second', ''); TrialResult(code='keyword')\n"
        "    Finding('yes' if x else 'no', ''); SandboxError(TABLE.get(x, 'fallback'), '')\n"
        "    name = 'assigned'; Refused(name, '', ''); outer('through_two')\n"
        "    send({'code': 'in_a_table'}); Denied(g(), ''); Denied(x.code, '')\n"
        "def g(): return 'returned'\n"
    )
    (tmp_path / "two.py").write_text(
        "from corral.one import FULL, refuse\nrefuse('other_module')\nDenied(FULL, '')\n"
        "Denied(f'made_{x}', '')\nDenied(unknown, '')\nDenied('Not a slug', '')\n"
    )
    found = minted_codes(tmp_path)
    assert set(found.places) == {
        "assigned", "by_default", "constant", "fallback", "from_table", "in_a_table", "keyword",
        "no", "other_module", "returned", "second", "through_two", "yes",
    }  # fmt: skip
    assert found.places["other_module"] == {"two.py"}
    assert len(found.unresolved) == 3
