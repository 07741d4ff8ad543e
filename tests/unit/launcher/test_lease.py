"""Leases between launchers: here, two instances on one folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from corral.launcher.lease import Leases
from corral.sandbox.cgroup import CgroupHost
from tests.support.children import ended


@pytest.fixture
def cgroups(tmp_path: Path) -> CgroupHost:
    (tmp_path / "cgroup").mkdir()
    return CgroupHost(2, tmp_path / "cgroup")


@pytest.fixture
def leases(cgroups: CgroupHost, tmp_path: Path) -> Leases:
    return Leases(cgroups, tmp_path / "leases")


def test_one_holder_at_a_time(leases: Leases) -> None:
    first = leases.take("core-0", "/a")
    assert first >= 0
    assert leases.take("core-0", "/b") == -1
    assert leases.take("core-1", "/b") >= 0
    os.close(first)
    assert leases.take("core-0", "/b") >= 0


def test_a_lease_is_not_inherited(leases: Leases) -> None:
    assert not os.get_inheritable(leases.take("core-0", "/a"))


def test_sharers_share_with_sharers_only(leases: Leases) -> None:
    shared = [leases.take("a.com/gpu=0", name, shared=True) for name in ("/a", "/b")]
    assert min(shared) >= 0
    assert leases.take("a.com/gpu=0", "/c") == -1
    for fd in shared:
        os.close(fd)
    alone = leases.take("a.com/gpu=0", "/c")
    assert alone >= 0
    assert leases.take("a.com/gpu=0", "/d", shared=True) == -1


@pytest.mark.claim("HW-06")
def test_a_killed_holder_keeps_it_until_its_processes_have_ended(
    leases: Leases, cgroups: CgroupHost
) -> None:
    fd = leases.take("a.com/gpu=0", "/first")
    joined = leases.join(fd, "/second")
    os.close(fd)
    assert leases.take("a.com/gpu=0", "/other") == -1  # the second worker of that tenant lives
    os.close(joined)  # as the kernel does when a launcher is killed
    group = cgroups.root / "second"
    group.mkdir()
    with ended(subprocess.Popen(["/bin/sleep", "60"])) as member:
        (group / "cgroup.procs").write_text(str(member.pid))
        assert leases.take("a.com/gpu=0", "/other") == -1
        member.kill()
    (group / "cgroup.procs").write_text("")
    assert leases.take("a.com/gpu=0", "/other") >= 0
