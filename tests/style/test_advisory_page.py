"""docs/advisories.md says of each record what is so, and its rules are the scanner's."""

from __future__ import annotations

import re
from pathlib import Path

from corral.advisories.database import shipped_records
from scripts.advisory_docs import END, PAGE, page_with, render_table
from tests.style.minted_codes import minted_codes

ROOT = Path(__file__).parents[2]


def rows() -> dict[str, list[str]]:
    table = PAGE.read_text(encoding="utf-8").split(END)[0]
    found = re.findall(r"^\| ((?:CVE|GHSA|PYSEC|CORRAL)-[^|]+) \|(.*)\|$", table, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in found}


def test_the_table_is_that_of_the_records() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with(render_table(), page), "write it anew: make docs"
    assert set(rows()) == {record.id for record in shipped_records()}


def test_each_row_says_what_keeps_the_flaw_out_and_names_a_test_that_exists() -> None:
    for name, (_flaw, _engine, kept, test) in rows().items():
        assert kept, name
        if test:
            assert (ROOT / test.strip("`")).is_file(), name


def test_each_rule_is_one_of_the_scanner() -> None:
    places = minted_codes(ROOT / "src" / "corral").places
    scanner = ("admission/scan/", "admission/template/")
    rules = {c for c, files in places.items() if any(f.startswith(scanner) for f in files)}
    named = {code for record in shipped_records() for code in record.corral.constructs}
    assert named - rules == set()


def test_every_advisory_of_the_research_has_a_record() -> None:
    """The list that the issue points to: the research is not in the repository."""
    research = """
        CVE-2024-23605 CVE-2024-21802 CVE-2024-21825 CVE-2024-21836 CVE-2024-23496 CVE-2024-32878
        CVE-2024-41130 CVE-2024-42477 CVE-2024-42478 CVE-2024-42479 CVE-2025-49847
        GHSA-g4cc-763q-h9h6 CVE-2025-52566 CVE-2025-53630 CVE-2026-21869 CVE-2026-2069
        CVE-2026-33298 CVE-2026-27940 CVE-2026-34159 CVE-2026-43629 CVE-2026-43631 CVE-2026-43632
        CVE-2026-107183 CVE-2026-118375 CVE-2024-34359 PYSEC-2026-387 CVE-2026-5760
        CVE-2026-115911 CVE-2026-115918 CVE-2024-37032 CVE-2026-103663 CVE-2026-7020
        CVE-2024-45436 CVE-2024-7773 CVE-2024-39720 CVE-2024-12055 CVE-2025-0312 CVE-2025-0315
        CVE-2025-0317 CVE-2024-8063 CVE-2025-1975 CVE-2025-66959 CVE-2025-66960 CVE-2026-65315
        CVE-2026-5757 CVE-2026-7482 CVE-2025-63389 CVE-2025-51471
    """
    assert set(re.findall(r"\S+", research)) <= {record.id for record in shipped_records()}
