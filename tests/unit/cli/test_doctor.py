from __future__ import annotations

from pathlib import Path

import pytest

from corral.core.config import Config
from corral.core.home import Home
from corral.doctor import survey
from tests.support.command_line import Corral


def test_every_wall_has_a_state_and_an_absent_one_decides(corral: Corral, tmp_path: Path) -> None:
    ended = corral("doctor", "--home", str(tmp_path), "--json")
    facts = ended.document["facts"]
    assert {"kernel", "namespaces", "seccomp", "cgroup", "runtime"} <= {f["name"] for f in facts}
    missing = [f for f in facts if f["state"] == "absent" and f["needed"] and not f["accepted"]]
    assert all(f["remedy"] for f in facts if f["state"] == "absent")
    assert ended.document["can_start"] == (not missing)
    assert ended.code == (1 if missing else 0)


@pytest.mark.claim("HOST-01")
def test_exit_code_and_table_of_a_host_that_lacks_a_wall(
    corral: Corral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = survey.kernel.seccomp(survey.HostFiles(tmp_path))
    monkeypatch.setattr(survey.kernel, "seccomp", lambda tree: lost)
    ended = corral("doctor", "--home", str(tmp_path))
    assert ended.code == 1
    assert "cannot start here yet: seccomp" in ended.err


def test_an_accepted_wall_is_called_degraded(
    corral: Corral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = survey.resources.cgroup(survey.HostFiles(tmp_path))
    monkeypatch.setattr(survey.resources, "cgroup", lambda tree: lost)
    ended = corral("doctor", "--home", str(tmp_path), "--allow-degraded", "cgroup")
    assert "degraded" in ended.out
    assert "degraded by your leave: cgroup" in ended.err


def test_a_runtime_that_is_not_there_is_refused_before_a_start(
    corral: Corral, tmp_path: Path
) -> None:
    ended = corral("doctor", "--runtime", "docker", "--home", str(tmp_path), "--json")
    assert (ended.code, ended.error_code) == (1, "config_value")


@pytest.mark.claim("HOST-03")
def test_a_runtime_that_is_too_weak_for_the_tier_is_absent(corral: Corral, tmp_path: Path) -> None:
    ended = corral(
        "doctor", "--tier", "gvisor", "--runtime", "crun", "--home", str(tmp_path), "--json"
    )
    runtime = next(f for f in ended.document["facts"] if f["name"] == "runtime")
    assert ended.code == 1
    assert runtime["state"] == "absent"
    assert "crun gives the tier 'namespaces'" in runtime["detail"]


def test_the_table_names_each_wall(corral: Corral, tmp_path: Path) -> None:
    assert "seccomp" in corral("doctor", "--home", str(tmp_path)).out


def test_a_report_of_the_host_is_left_for_the_gateway(home: Home) -> None:
    import json

    from corral.cli.up import report_host, surveyed

    report_host(home, surveyed(Config(), home))
    assert json.loads(home.host_report.read_text())["schema"] == 1
    assert home.host_report.stat().st_mode & 0o777 == 0o600
