"""docs/owasp.md names claims that there are, each once in a row, and every risk of the Top 10."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "owasp.md").read_text(encoding="utf-8")
CLAIMS = set(
    re.findall(
        r"^\| ([A-Z]+-\d+) \|", (DOCS / "claims.md").read_text(encoding="utf-8"), re.MULTILINE
    )
)
RANGE = re.compile(r"([A-Z]+)-(\d+) to ([A-Z]+)-(\d+)")


def named(cell: str) -> list[str]:
    """Return the claims of a cell, ranges written out."""
    found: list[str] = []
    for family, first, other, last in RANGE.findall(cell):
        assert family == other, cell
        found += [f"{family}-{n:02}" for n in range(int(first), int(last) + 1)]
    return found + re.findall(r"[A-Z]+-\d+", RANGE.sub("", cell))


def test_every_claim_on_the_page_is_one() -> None:
    rows = [line.split(" | ") for line in PAGE.splitlines() if re.match(r"\| (LLM|C)\d", line)]
    assert len(rows) > 25
    for row in rows:
        claims = named(row[1])
        assert set(claims) <= CLAIMS, set(claims) - CLAIMS
        assert len(claims) == len(set(claims)), row
        assert claims or row[2].strip(" |") != "–", row


def test_every_risk_of_the_top_ten_is_there() -> None:
    assert [int(n) for n in re.findall(r"^\| LLM(\d\d) ", PAGE, re.MULTILINE)] == list(range(1, 11))


def test_the_reader_of_ranges_reads() -> None:
    assert named("AB-01 to AB-03, CD-10") == ["AB-01", "AB-02", "AB-03", "CD-10"]
