"""The move into a leaf group, on fake trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corral.sandbox import cgroup
from corral.service.leaf import LEAF, enter_leaf


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "membership").write_text("1:name=x:/other\n0::/a\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "cgroup.procs").write_text(f"{os.getpid()}\n")
    return tmp_path / "a"


def entered(group: Path) -> bool:
    return enter_leaf(group.parent, group.parent / "membership")


def test_the_launcher_knows_the_same_name() -> None:
    assert LEAF == cgroup.LEAF


def test_it_moves_down(group: Path) -> None:
    assert entered(group)
    assert (group / LEAF / "cgroup.procs").read_text() == str(os.getpid())


def test_not_away_from_others(group: Path) -> None:
    (group / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    assert not entered(group)
    assert not (group / LEAF).exists()


def test_not_twice(group: Path) -> None:
    (group.parent / "membership").write_text(f"0::/a/{LEAF}\n")
    (group / LEAF).mkdir()
    (group / LEAF / "cgroup.procs").write_text(f"{os.getpid()}\n")
    assert not entered(group)


def test_not_as_root_nor_in_version_1_nor_elsewhere(
    group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (group / "cgroup.procs").unlink()
    assert not entered(group)
    (group.parent / "cgroup.controllers").unlink()
    assert not entered(group)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert not entered(group)
