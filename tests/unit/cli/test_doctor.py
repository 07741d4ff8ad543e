from __future__ import annotations

from pathlib import Path

from tests.support.command_line import Corral


def test_every_wall_has_a_state_and_an_absent_one_decides(corral: Corral, tmp_path: Path) -> None:
    ended = corral("doctor", "--home", str(tmp_path), "--json")
    features = ended.document["features"]
    assert {"kernel", "namespaces", "seccomp", "cgroup", "runtime"} <= {f["name"] for f in features}
    missing = [f for f in features if f["state"] == "absent"]
    assert all(f["remedy"] for f in missing)
    assert ended.document["can_start"] == (not missing)
    assert ended.code == (1 if missing else 0)


def test_a_runtime_that_is_not_there_is_refused_before_a_start(
    corral: Corral, tmp_path: Path
) -> None:
    ended = corral("doctor", "--runtime", "docker", "--home", str(tmp_path), "--json")
    assert (ended.code, ended.error_code) == (1, "config_value")


def test_the_table_names_each_wall(corral: Corral, tmp_path: Path) -> None:
    assert "seccomp" in corral("doctor", "--home", str(tmp_path)).out
