from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from corral.cli.leftovers import Footprint, leftovers, take_footprint
from tests.support.children import ended

PARENT = (
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
    "print(child.pid, flush=True)\n"
    "sys.stdin.readline()\n"
    "child.communicate(b'\\n')\n"
)


def test_grandchildren_are_part_of_it_and_gone_means_gone(tmp_path: Path) -> None:
    with ended(
        subprocess.Popen(
            [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        footprint = take_footprint(process.pid)
        assert {pid for pid, _ in footprint.processes} == {process.pid, child}
        assert footprint.namespaces == frozenset()
        left = leftovers(footprint, tmp_path)
        assert sorted(left) == sorted([f"process {process.pid}", f"process {child}"])
    assert leftovers(footprint, tmp_path) == []
    footprint.close()


def in_new_namespace(tmp_path: Path, *, held: bool, earlier: Footprint | None) -> Footprint:
    """Run a process in a namespace of its own, take its footprint, end it; look for the earlier."""
    with ended(subprocess.Popen(
        ["unshare", "--uts", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdout.readline()
        footprint = take_footprint(process.pid)
        assert len(footprint.namespaces) == len(footprint.held) == 1
        if not held:
            footprint.close()
        if earlier is not None:
            assert leftovers(earlier, tmp_path) == []
        process.communicate()
    return footprint


def test_a_namespace_number_that_was_given_again_is_no_leftover(
    tmp_path: Path, needs_root: None
) -> None:
    first = in_new_namespace(tmp_path, held=True, earlier=None)
    for _ in range(5):
        in_new_namespace(tmp_path, held=False, earlier=first)
    first.close()
    # The control: a number that is not held is given again, if not to us then to a stranger.
    with pytest.raises(AssertionError, match="namespace uts"):
        for _ in range(50):
            first = in_new_namespace(tmp_path, held=False, earlier=first)


def test_a_namespace_and_a_cgroup_that_stay_are_found(tmp_path: Path) -> None:
    mine = str(Path("/proc/self/ns/net").readlink())
    footprint = Footprint(frozenset(), frozenset({mine}), frozenset({tmp_path}))
    assert leftovers(footprint, tmp_path) == [f"namespace {mine}", f"cgroup {tmp_path}"]


def test_a_process_id_that_was_given_again_is_not_a_leftover(tmp_path: Path) -> None:
    footprint = Footprint(frozenset({(1, 123456789)}), frozenset(), frozenset())
    assert leftovers(footprint, tmp_path) == []


def test_a_mount_below_the_folder_is_found() -> None:
    nothing = Footprint(frozenset(), frozenset(), frozenset())
    assert "mount /proc" in leftovers(nothing | nothing, Path("/proc"))
