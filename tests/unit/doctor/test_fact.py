"""What blocks a start, and the shape that scripts rely on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from corral.doctor.fact import Fact, Flaw, Report

GONE = Fact("cgroup", "absent", "none", "run as root", needed=True)


@pytest.mark.parametrize(
    ("fact", "blocks"),
    [
        (GONE, True),
        (replace(GONE, accepted=True), False),
        (replace(GONE, needed=False), False),
        (replace(GONE, state="enforced"), False),
        (replace(GONE, state="host-owned"), False),
    ],
)
def test_what_blocks(fact: Fact, blocks: bool) -> None:
    report = Report((fact,), (), 1)
    assert fact.blocks is blocks
    assert report.can_start is not blocks
    assert report.degraded == (("cgroup",) if fact.accepted else ())


def test_what_nothing_judges_counts_as_missing() -> None:
    report = Report((replace(GONE, accepted=True),), (), 1, waived=("gpu-sharing",))
    assert report.degraded == ("cgroup", "gpu-sharing")
    assert report.can_start


def test_the_document_has_a_stable_shape() -> None:
    flaw = Flaw("CVE-1", "runc", "open", "t", ("1.0",), reached=True, meaning="m", source="s")
    document = Report((GONE,), (flaw,), 7).document()
    assert document == {
        "schema": 1,
        "probed_at": 7,
        "can_start": False,
        "degraded": [],
        "facts": [
            {
                "name": "cgroup", "state": "absent", "detail": "none", "remedy": "run as root",
                "needed": True, "accepted": False,
            }
        ],
        "flaws": [
            {
                "id": "CVE-1", "runtime": "runc", "status": "open", "title": "t",
                "fixed_in": ("1.0",), "reached": True, "meaning": "m", "source": "s",
            }
        ],
    }  # fmt: skip
