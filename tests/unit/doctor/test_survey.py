"""The whole report of this host, and of hosts that lack something."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from corral.core.config import Config, override_config
from corral.core.home import Home
from corral.doctor.fact import Fact, Report
from corral.doctor.runtimes_unsafe import read_versions
from corral.doctor.survey import survey_host
from corral.guard.detector_fact import detector_fact

NAMES = {
    "kernel", "namespaces", "nested-userns", "seccomp", "landlock", "mdwe", "cgroup", "core-dumps",
    "runtime", "flaws-list", "ksm", "swap", "smt", "core-scheduling", "speculation",
    "speculation-controls", "ptrace-scope", "clock", "entropy", "accelerators", "energy",
    "runtime-crun", "runtime-runc", "runtime-runsc", "runtime-krun", "runtime-kata-runtime",
}  # fmt: skip
"""Scripts rely on these; a new one is no break, a missing one is."""


def named(report: Report, name: str) -> Fact:
    return next(fact for fact in report.facts if fact.name == name)


@pytest.mark.claim("HOST-01")
def test_this_host() -> None:
    report = survey_host(Config())
    names = [fact.name for fact in report.facts]
    assert len(set(names)) == len(names)
    assert set(names) >= NAMES
    assert all(fact.remedy for fact in report.facts if fact.state == "absent")
    assert {fact.state for fact in report.facts} <= {"enforced", "absent", "host-owned"}
    # What corral cannot enforce it must not claim.
    for name in ("ksm", "swap", "smt", "core-scheduling", "speculation", "ptrace-scope", "clock"):
        assert named(report, name).state == "host-owned"


@pytest.mark.claim("HOST-01")
@pytest.mark.parametrize("accepted", [(), ("cgroup",)])
def test_an_absent_wall_blocks_unless_it_was_accepted_by_name(
    monkeypatch: pytest.MonkeyPatch, accepted: tuple[str, ...]
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    config = override_config(Config(), {"sandbox.allow_degraded": accepted})
    report = survey_host(config)
    assert named(report, "cgroup").blocks is not bool(accepted)
    assert report.degraded == accepted


def test_every_fact_is_documented(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = script(tmp_path, "echo version 1.2.3")
    monkeypatch.setattr(shutil, "which", lambda name, path: program)
    monkeypatch.setattr(os, "access", lambda *_: True)
    page = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text(encoding="utf-8")
    table = page[page.index("## Facts") : page.index("## Known flaws")]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    documented = {
        name: "yes" in row.split("|")[2]
        for row in rows
        for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])
    }
    report = survey_host(Config(), more=(detector_fact(Home(tmp_path)),))
    shown = {fact.name: fact.needed for fact in report.facts}
    assert documented == {**shown, "cores": False}


@pytest.mark.claim("HOST-01")
def test_strict_needs_what_standard_only_reports() -> None:
    points = ("ksm", "swap", "smt", "speculation", "cores")
    strict = {"isolation.level": "strict"}
    report = survey_host(override_config(Config(), strict))
    standard = survey_host(Config())
    assert all(named(report, name).state != "host-owned" for name in points)
    assert all(named(report, name).needed for name in points)
    assert {f.name for f in report.facts} - {f.name for f in standard.facts} == {"cores"}
    missing = [name for name in points if named(report, name).state == "absent"]
    assert all(f"--allow-degraded={name}" in named(report, name).remedy for name in missing)

    accepted = override_config(Config(), strict | {"sandbox.allow_degraded": tuple(missing)})
    degraded = survey_host(accepted).degraded
    assert sorted(degraded) == sorted(missing)


def test_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    report = survey_host(Config())
    assert named(report, "runtime").blocks
    assert named(report, "runtime-crun").state == "absent"
    assert not report.flaws


def test_a_runtime_of_the_operators_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crun = script(tmp_path, "echo crun version 1.2.3")
    monkeypatch.setattr(shutil, "which", lambda name, path: crun if name == "crun" else None)
    report = survey_host(Config())
    assert named(report, "runtime").detail == "crun (tier namespaces)"
    assert named(report, "runtime-crun").detail == f"crun version 1.2.3 ({crun}, of no package)"
    assert {f.id: f.status for f in report.flaws}["CVE-2022-27650"] == "open"


def test_tiers_by_trust_are_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = script(tmp_path, "echo version 1.2.3")
    monkeypatch.setattr(shutil, "which", lambda name, path: program)
    config = override_config(Config(), {"tier_by_trust.untrusted": "gvisor"})
    assert named(survey_host(config), "runtime").detail == (
        "untrusted: runsc (tier gvisor); verified, trusted: crun (tier namespaces)"
    )


def script(folder: Path, text: str, name: str = "runtime") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_versions(tmp_path: Path) -> None:
    programs = {
        script(tmp_path, "echo first; echo second", "two"): "first",
        script(tmp_path, "printf %0100d 0", "long"): "0" * 80,
        script(tmp_path, "printf '\\377'", "bytes"): "\ufffd",
        script(tmp_path, "exit 0", "silent"): "no version",
        str(tmp_path / "none"): "does not run",
    }
    assert read_versions(tuple(programs)) == programs


def test_one_that_hangs_keeps_nobody(tmp_path: Path) -> None:
    hangs, good = script(tmp_path, "exec sleep 60", "hangs"), script(tmp_path, "echo 1", "good")
    assert read_versions((hangs, good), timeout_s=0.3) == {hangs: "does not run", good: "1"}
