"""docs/claims.md says where each claim is tested, and by which control: both are so."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "claims.md"
SAME = "the same file"


@dataclass(frozen=True)
class Claim:
    """One row.

    Attributes:
        places: files and folders of the tests.
        controls: names of tests in the last column.
    """

    name: str
    places: frozenset[str]
    controls: frozenset[str]


def parse_claims(page: str) -> list[Claim]:
    found: list[Claim] = []
    for line in page.splitlines():
        if not re.match(r"\| [A-Z]+-[0-9]+ \|", line):
            continue
        name, _, tests, control = (cell.strip() for cell in line.strip("|").split(" | "))
        places = set(re.findall(r"`(tests/[^`]+)`", tests))
        if tests.startswith(SAME):
            places |= found[-1].places
        controls = re.findall(r"`(test_[a-z0-9_]+)`", control)
        found.append(Claim(name, frozenset(places), frozenset(controls)))
    return found


def marked_files() -> dict[str, set[str]]:
    """Return the files with `pytest.mark.claim("ID", ...)`, by id."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.claim"):
                for argument in node.args:
                    assert isinstance(argument, ast.Constant), f"{path}: an id is not a literal"
                    name = str(argument.value)
                    found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


@cache
def known_tests() -> frozenset[str]:
    """Return the name of every test."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    pattern = re.compile(r"^ *(?:async )?def (test_[a-z0-9_]+)", re.MULTILINE)
    return frozenset(name for text in texts for name in pattern.findall(text))


def mistakes(claims: list[Claim], marked: dict[str, set[str]]) -> list[str]:
    """Return what of a page is not so."""
    names = [claim.name for claim in claims]
    wrong = [f"{name}: claimed twice" for name in set(names) if names.count(name) > 1]
    wrong += [f"{name}: marked, not claimed" for name in marked.keys() - set(names)]
    for claim in claims:
        files = marked.get(claim.name, set())
        listed = {f for f in files for place in claim.places if (f + "/").startswith(place + "/")}
        empty = {p for p in claim.places if not any((f + "/").startswith(p + "/") for f in files)}
        wrong += [f"{claim.name}: {file} is marked, not listed" for file in files - listed]
        wrong += [f"{claim.name}: {place} is listed, not marked" for place in empty]
        if not files:
            wrong.append(f"{claim.name}: no test")
        wrong += [f"{claim.name}: there is no {c}" for c in claim.controls - known_tests()]
    return sorted(wrong)


def test_every_claim_names_its_tests_and_every_marked_test_is_named() -> None:
    claims = parse_claims(PAGE.read_text(encoding="utf-8"))
    assert len(claims) > 100
    assert mistakes(claims, marked_files()) == []


def test_the_comparison_notices() -> None:
    page = (
        "| A-01 | c | `tests/style/test_claims.py` | `test_the_comparison_notices` |\n"
        "| A-02 | c | the same file | `test_that_is_not_there` |\n"
        "| A-02 | c | `tests/style` | same test |\n"
        "| A-03 | c | `tests/style/test_laws.py` | same test |\n"
    )
    here = {"tests/style/test_claims.py"}
    marked = {"A-01": here, "A-02": here, "A-03": here, "A-04": here}
    assert mistakes(parse_claims(page), marked) == [
        "A-02: claimed twice",
        "A-02: there is no test_that_is_not_there",
        "A-03: tests/style/test_claims.py is marked, not listed",
        "A-03: tests/style/test_laws.py is listed, not marked",
        "A-04: marked, not claimed",
    ]
