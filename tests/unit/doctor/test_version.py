"""Which version is newer; dpkg itself is the oracle for Debian's."""

from __future__ import annotations

import shutil
import subprocess
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.doctor.version import debian_at_least, has_fix, parse_upstream

FINAL = 1 << 30


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("runc version 1.1.5+ds1", (1, 1, 5, FINAL)),
        ("runc version 1.0.0-rc95", (1, 0, 0, 95)),
        ("runc version 1.2.0-rc.3", (1, 2, 0, 3)),
        ("runc version 1.0.0~rc6+dfsg1", (1, 0, 0, 6)),
        ("crun version 1.8.1", (1, 8, 1, FINAL)),
        ("crun version 1.20", (1, 20, 0, FINAL)),
        ("runsc version release-20240212.0", (20240212, 0, 0, FINAL)),
        ("runsc version 0.0~20221219.0", (20221219, 0, 0, FINAL)),
        ("kata-runtime  : 3.31.0", (3, 31, 0, FINAL)),
        ("no version", None),
        ("", None),
    ],
)
def test_what_runtimes_print(text: str, version: tuple[int, ...] | None) -> None:
    assert parse_upstream(text) == version


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ("1.1.15", False), ("1.2.7", False), ("1.2.8", True), ("1.2.9", True), ("1.3.2", False),
        ("1.3.3", True), ("1.4.0-rc.2", False), ("1.4.0-rc.3", True), ("1.4.0", True),
        ("1.5.1", True), ("2.0.0", True), ("1.0.0", False),
    ],
)  # fmt: skip
def test_a_fix_counts_in_its_own_branch_and_above_all(version: str, fixed: bool) -> None:
    fixes = [f for f in map(parse_upstream, ("1.2.8", "1.3.3", "1.4.0-rc.3")) if f]
    parsed = parse_upstream(version)
    assert parsed
    assert has_fix(parsed, fixes) is fixed


def test_no_fix_is_no_fix() -> None:
    assert not has_fix((9, 9, 9, FINAL), [])


EXAMPLES = (
    "1.1.5+ds1-1+deb12u1", "1.1.5+ds1-1", "1.1.5+ds1-1~bpo11+1", "1.8.1-1+deb12u1", "1.8.1-1",
    "1.0.0~rc6+dfsg1-3", "1.0.0-3", "0.0~20221219.0-2+b3", "1:0.9", "2.0", "1.10", "1.9", "1.0a",
    "1.0+a", "1.0", "1.0-", "0",
)  # fmt: skip


def dpkg_says(one: str, other: str) -> bool:
    asked = ["dpkg", "--compare-versions", one, "ge", other]
    return subprocess.run(asked, check=False).returncode == 0


@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg is the oracle; Debian has it")
def test_debian_versions_are_ordered_as_dpkg_orders_them() -> None:
    for one, other in combinations(EXAMPLES[:-2], 2):
        assert debian_at_least(one, other) == dpkg_says(one, other), (one, other)


@settings(max_examples=20, deadline=None)
@given(st.text("0123456789.+~ab", min_size=1, max_size=8), st.text("01.+~a", max_size=6))
@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg is the oracle; Debian has it")
def test_any_debian_version(tail: str, revision: str) -> None:
    one, other = f"1{tail}", f"1{tail}-{revision}1"
    assert debian_at_least(one, other) == dpkg_says(one, other)
    assert debian_at_least(other, one) == dpkg_says(other, one)
    assert debian_at_least(one, one)


def test_versions_that_dpkg_would_not_take_do_not_crash() -> None:
    for text in ("", "-", ":", "x:1", "é", *EXAMPLES):
        assert debian_at_least(text, text)
