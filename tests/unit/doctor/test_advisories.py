"""The list of known flaws, and what may be called fixed."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace

import pytest

from corral.doctor.advisories import (
    STALE_DAYS,
    Advisory,
    age_fact,
    flaws_fact,
    judge,
    load_advisories,
    parse_advisories,
)
from corral.doctor.packages import Package
from corral.sandbox.runtimes import RUNTIME_NAMES

LEAKY = Advisory(
    id="CVE-2024-21626", runtime="runc", title="t", fixed_in=("1.1.12",),
    distributions={"debian-12": "1.1.5+ds1-1+deb12u1"}, reached=True, meaning="m", source="s",
)  # fmt: skip
DEBIAN = Package("runc", "1.1.5+ds1-1+deb12u1", "debian-12")


def status(version: str, package: Package | None, advisory: Advisory = LEAKY) -> str:
    (flaw,) = judge((advisory,), version, package)
    return flaw.status


@pytest.mark.claim("HOST-01")
@pytest.mark.parametrize(
    ("version", "package", "expected"),
    [
        ("runc version 1.1.12", None, "fixed"),
        ("runc version 1.1.5+ds1", DEBIAN, "fixed-by-distribution"),
        ("runc version 1.1.5+ds1", replace(DEBIAN, version="1.1.5+ds1-1"), "open"),
        ("runc version 1.1.5+ds1", replace(DEBIAN, distribution="debian-13"), "open"),
        ("runc version 1.1.5+ds1", replace(DEBIAN, distribution=""), "open"),
        ("runc version 1.1.5+ds1", None, "open"),
        ("does not run", None, "open"),
        ("", DEBIAN, "fixed-by-distribution"),
    ],
)
def test_only_data_makes_a_flaw_fixed(version: str, package: Package | None, expected: str) -> None:
    assert status(version, package) == expected


def test_a_distribution_that_the_data_does_not_name_has_no_fix() -> None:
    assert status("1.1.5", DEBIAN, replace(LEAKY, distributions={})) == "open"


def test_an_open_flaw_that_is_reached_is_an_absent_wall() -> None:
    fact = flaws_fact("runc", judge((LEAKY,), "1.1.5", None))
    assert (fact.state, fact.needed) == ("absent", False)
    assert fact.remedy == "upgrade runc to 1.1.12 or later"
    assert "CVE-2024-21626: m" in fact.detail


def test_an_open_flaw_that_is_not_reached_is_named() -> None:
    fact = flaws_fact("runc", judge((replace(LEAKY, reached=False),), "1.1.5", None))
    assert fact.state == "enforced"
    assert "open, but not reached by corral: CVE-2024-21626" in fact.detail


def test_fixed_flaws_are_counted_by_who_fixed_them() -> None:
    rows = (LEAKY, replace(LEAKY, id="CVE-1", fixed_in=("1.1.5",)))
    fact = flaws_fact("runc", judge(rows, "1.1.5+ds1", DEBIAN))
    assert fact.detail == "2 known: 1 fixed, 1 fixed by the distribution"


def test_the_shipped_list() -> None:
    shipped = load_advisories()
    assert shipped.updated >= datetime.date(2026, 11, 23)
    assert {row.runtime for row in shipped.rows} == set(RUNTIME_NAMES)
    assert len({(row.id, row.runtime) for row in shipped.rows}) == len(shipped.rows)
    for row in shipped.rows:
        assert re.fullmatch(r"CVE-\d{4}-\d{4,}", row.id)
        assert row.source.startswith("https://")
        assert row.title
        assert row.meaning
    known = {row.id for row in shipped.of("runc")}
    assert {
        "CVE-2019-5736", "CVE-2024-21626", "CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881",
    } <= known  # fmt: skip


ROW = {
    "id": "CVE-1", "runtime": "runc", "title": "t", "fixed_in": ["1.0"], "reached": False,
    "meaning": "m", "source": "s",
}  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        {k: v for k, v in ROW.items() if k != "meaning"},
        {k: v for k, v in ROW.items() if k != "fixed_in"},
        ROW | {"fixed": "1.0"},
        ROW | {"fixed_in": []},
        ROW | {"fixed_in": ["soon"]},
    ],
)
def test_a_malformed_row_is_an_error(row: dict[str, object]) -> None:
    parse_advisories({"updated": datetime.date(2026, 1, 1), "advisory": [ROW]})
    with pytest.raises(ValueError, match=r"advisories\.toml"):
        parse_advisories({"updated": datetime.date(2026, 1, 1), "advisory": [row]})


def test_an_old_list_says_so() -> None:
    today = datetime.date(2026, 11, 23)
    assert age_fact(today, today).state == "enforced"
    old = age_fact(today - datetime.timedelta(days=STALE_DAYS + 1), today)
    assert (old.state, old.remedy) == ("absent", "upgrade corral")
