"""A line is green only if the attack was stopped as stated and its control works."""

from __future__ import annotations

import json

import pytest

from corral.selftest.catalog import Probe, parse_probe
from corral.selftest.document import count_verdicts, make_document, passed
from corral.selftest.page import render_page
from corral.selftest.verdict import Line, judge

BASE = {"title": "an <attack>", "walls": ["w"], "expect": ["EPERM"]}


def probe(**fields: object) -> Probe:
    return parse_probe("a.b", "files", BASE | fields)


def line(
    outcome: str, control: str, fields: dict[str, object] | None = None, *,
    tier: str = "namespaces",
) -> Line:  # fmt: skip
    return judge(
        probe(**(fields or {})), zone="engine", runtime="crun", tier=tier, outcome=outcome,
        control=control,
    )  # fmt: skip


@pytest.mark.claim("ESC-02")
@pytest.mark.parametrize(
    ("outcome", "control", "fields", "verdict"),
    [
        ("EPERM", "ok", {}, "green"),
        ("EPERM", "EFAULT", {}, "green"),
        ("ok", "ok", {}, "red"),
        ("EFAULT", "EFAULT", {}, "red"),
        ("EACCES", "ok", {}, "red"),  # stopped, but not by the wall that was stated
        ("missing", "ok", {}, "red"),
        ("EPERM", "EPERM", {}, "invalid"),
        ("EPERM", "EACCES", {}, "invalid"),
        ("EPERM", "missing", {}, "invalid"),
        ("EPERM", "unbounded", {"control": ["ok"]}, "invalid"),
        ("EPERM", "ENOSYS", {}, "n/a"),
        ("ok", "ENOSYS", {}, "red"),
        ("EPERM", "ENOENT", {"host_may_lack": True}, "n/a"),
        ("ok", "ENOENT", {"host_may_lack": True}, "red"),
        ("ENOENT", "ENOENT", {"expect": ["ENOENT"]}, "invalid"),
        ("EPERM", "x", {"control": "any"}, "green"),
        ("EPERM", "missing", {"control": "any"}, "invalid"),
        ("EROFS", "ok", {"engine": ["EROFS"]}, "green"),
        ("EPERM", "ok", {"engine": ["EROFS"]}, "red"),
        ("ok", "ok", {"engine_may": "because"}, "allowed"),
        ("EPERM", "ok", {"engine_may": "because"}, "red"),
    ],
)
def test_verdicts(outcome: str, control: str, fields: dict[str, object], verdict: str) -> None:
    assert line(outcome, control, fields).verdict == verdict


@pytest.mark.parametrize(
    ("outcome", "fields", "verdict"),
    [
        ("EACCES", {"gvisor": ["EACCES"]}, "green"),
        ("EPERM", {"gvisor": ["EACCES"]}, "red"),
        ("ok", {"gvisor_absent": "why"}, "n/a"),
        ("EPERM", {}, "green"),
    ],
)
def test_under_gvisor(outcome: str, fields: dict[str, object], verdict: str) -> None:
    assert line(outcome, "ok", fields, tier="gvisor").verdict == verdict


@pytest.mark.claim("ESC-02")
def test_one_red_or_invalid_line_fails_all() -> None:
    green, red, invalid = line("EPERM", "ok"), line("ok", "ok"), line("EPERM", "EPERM")
    absent = line("EPERM", "ENOSYS")
    assert passed([green, absent])
    assert not passed([green, red])
    assert not passed([green, invalid])
    assert not passed([])
    assert count_verdicts([green, red, absent]) == {
        "green": 1, "red": 1, "invalid": 0, "allowed": 0, "n/a": 1,
    }  # fmt: skip


def test_the_document_and_the_page() -> None:
    document = make_document([line("EPERM", "ok"), line("ok", "ok")], full=False)
    assert json.loads(json.dumps(document)) == document
    assert document["mode"] == "quick"
    assert document["passed"] is False
    assert document["lines"][1]["verdict"] == "red"
    document["lines"][0]["outcome"] = "<script>alert(1)</script>"
    page = render_page(document)
    assert "<script" not in page
    assert "an &lt;attack&gt;" in page
    assert "default-src 'none'" in page
