"""What a scan job that was taken over may not say."""

import json

import pytest

from corral.admission.report import Finding, encode_report, make_report, parse_report


def line(**changes: object) -> bytes:
    report = make_report((Finding("magic", "reject", "no"),), None, "s 1")
    return json.dumps(json.loads(encode_report(report)) | changes).encode()


def test_round_trip() -> None:
    report = parse_report(line())
    assert report is not None
    assert report.verdict == "reject"


def test_without_facts_nothing_is_accepted() -> None:
    assert make_report((), None, "s").verdict == "reject"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        line(verdict="accept"),
        line(verdict="fine"),
        line(extra=1),
        line(scanner="\x1b[2J"),
        line(findings=[{"code": "x", "severity": "reject", "message": "a\nb"}]),
        line(findings=[{"code": "X Y", "severity": "reject", "message": "a"}]),
        line(findings=[{"code": "x", "severity": "reject", "message": "a" * 500}]),
        line(findings=[{"code": "x", "severity": "info", "message": "a"}] * 300),
    ],
)
def test_refused(raw: bytes) -> None:
    assert parse_report(raw) is None
