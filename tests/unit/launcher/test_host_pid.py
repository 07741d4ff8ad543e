"""Ids in nested PID namespaces, on trees that look like the host's /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.launcher.host_pid import host_pid_of


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    (tmp_path / "100/task/100").mkdir(parents=True)
    (tmp_path / "self").symlink_to("100")
    yield tmp_path, fd
    os.close(fd)


def child(proc: Path, pid: int, status: str | None) -> None:
    children = proc / "100/task/100/children"
    children.write_text(f"{children.read_text() if children.exists() else ''}{pid} ")
    (proc / str(pid)).mkdir()
    if status is not None:
        (proc / str(pid) / "status").write_text(status)


def test_the_child_with_our_id_is_found(proc: tuple[Path, int]) -> None:
    folder, fd = proc
    child(folder, 200, "Name:\tx\nNSpid:\t200\t7\n")
    child(folder, 201, None)
    child(folder, 202, "Name:\tx\n")
    child(folder, 203, "Name:\tx\nNSpid:\t203\t8\t1\n")
    assert host_pid_of(fd, 8) == 203
    assert host_pid_of(fd, 7) == 200
    assert host_pid_of(fd, 9) == 0
    assert host_pid_of(fd, 203) == 0


def test_the_host_cannot_be_read(proc: tuple[Path, int]) -> None:
    assert host_pid_of(proc[1], 8) == 0
