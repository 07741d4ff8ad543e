"""A line is green only if the attack was stopped as stated and its control works."""

from __future__ import annotations

import json

import pytest

from corral.selftest.catalog import Probe, parse_probe
from corral.selftest.document import count_verdicts, make_document, passed
from corral.selftest.page import render_page
from corral.selftest.verdict import Line, Terms, judge

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
        ("EPERM", "hidden", {"unshown": {"hidden": "why"}}, "n/a"),
        ("hidden", "ok", {"unshown": {"hidden": "why"}}, "n/a"),
        ("ok", "ok", {"unshown": {"hidden": "why"}}, "red"),
        ("EINVAL", "ok", {"unshown": {"EINVAL": "why"}, "engine_may": "because"}, "n/a"),
        ("EPERM", "EPERM", {"user_control": ["EPERM"]}, "invalid"),
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
@pytest.mark.parametrize("control", ["EPERM", "EACCES", "set"])
def test_what_a_user_cannot_do_outside_either_is_shown_and_never_passed(control: str) -> None:
    facts = {"zone": "engine", "runtime": "crun", "tier": "namespaces", "control": control}
    some = probe(user_control=["set"], expect=["EPERM", "set"])
    user, root = Terms(root=False), Terms(root=True)
    seen = judge(some, outcome="EPERM", terms=user, **facts)
    assert (seen.verdict, seen.reason) == ("n/a", "this user cannot do it outside either")
    assert judge(some, outcome="EPERM", terms=root, **facts).verdict == "invalid"
    assert judge(some, outcome="ok", terms=user, **facts).verdict == "red"
    lost = facts | {"control": "missing"}
    assert judge(some, outcome="EPERM", terms=user, **lost).verdict == "invalid"


@pytest.mark.claim("ESC-02")
@pytest.mark.parametrize(
    ("accepted", "wall"), [("cgroup", "cgroup memory"), ("mdwe", "MDWE"), ("landlock", "Landlock")]
)
def test_a_wall_that_the_operator_accepted_to_miss_is_named(accepted: str, wall: str) -> None:
    facts = {"zone": "engine", "runtime": "crun", "tier": "namespaces", "control": "ok"}
    terms = Terms(accepted=frozenset({accepted}))
    seen = judge(probe(walls=[wall]), outcome="ok", terms=terms, **facts)
    assert seen.verdict == "n/a"
    assert f"--allow-degraded={accepted}" in seen.reason
    assert judge(probe(walls=[wall]), outcome="ok", **facts).verdict == "red"
    more = probe(walls=[wall, "seccomp"])
    assert judge(more, outcome="ok", terms=terms, **facts).verdict == "red"
    assert judge(probe(walls=[wall]), outcome="EPERM", terms=terms, **facts).verdict == "green"


@pytest.mark.claim("ESC-02")
def test_without_a_group_exhaustion_has_no_control() -> None:
    facts = {"zone": "engine", "runtime": "crun", "tier": "namespaces", "control": "unbounded"}
    terms = Terms(accepted=frozenset({"cgroup"}))
    assert judge(probe(), outcome="EPERM", **facts).verdict == "invalid"
    assert judge(probe(), outcome="EPERM", terms=terms, **facts).verdict == "n/a"


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
