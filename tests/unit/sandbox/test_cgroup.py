"""Control groups on fake trees: the kernel's files are plain files here."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from corral.sandbox.cgroup import LEAF, CgroupHost, CgroupLimits, find_cgroups, is_hybrid

LIMITS = CgroupLimits(memory_bytes=1 << 20, pids=7, cpu_shares=2048, cpu_quota_us=150_000)
GROUP = "/corral-a/serve-1/engine-1"


@pytest.fixture
def v1(tmp_path: Path) -> CgroupHost:
    for name in ("cpu", "memory", "pids", "cpuset", "devices"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "a_file").touch()
    (tmp_path / "covered").mkdir()
    return find_cgroups(tmp_path)


@pytest.fixture
def v2(tmp_path: Path) -> CgroupHost:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").touch()
    return find_cgroups(tmp_path)


def text(host: CgroupHost, name: str) -> str:
    return (host.root / name).read_text()


def test_versions_are_told_apart(v1: CgroupHost) -> None:
    assert v1.version == 1
    assert not is_hybrid(v1.root)
    (v1.root / "unified").mkdir()
    assert is_hybrid(v1.root)
    assert find_cgroups(v1.root).version == 1


def test_version_2(v2: CgroupHost) -> None:
    assert v2.version == 2
    assert v2.folders("/a/b") == [v2.root / "a/b"]
    assert not is_hybrid(v2.root)


@pytest.mark.parametrize("offered", ["", "cpu memory", "cpu memory io"])
def test_a_controller_is_missing(tmp_path: Path, offered: str) -> None:
    (tmp_path / "cgroup.controllers").write_text(offered)
    (tmp_path / "cgroup.subtree_control").touch()
    assert find_cgroups(tmp_path).version == 0


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    host = find_cgroups(tmp_path)
    assert host.version == 0
    assert host.folders("/a") == []


def test_limits_of_version_1(v1: CgroupHost) -> None:
    v1.create(GROUP, LIMITS)
    assert len(v1.folders(GROUP)) == 5
    assert text(v1, f"memory{GROUP}/memory.limit_in_bytes") == str(1 << 20)
    assert text(v1, f"pids{GROUP}/pids.max") == "7"
    assert text(v1, f"cpu{GROUP}/cpu.cfs_period_us") == "100000"
    assert text(v1, f"cpu{GROUP}/cpu.cfs_quota_us") == "150000"
    assert text(v1, f"cpu{GROUP}/cpu.shares") == "2048"


def test_swap_is_bounded_where_it_can_be(v1: CgroupHost, v2: CgroupHost) -> None:
    assert not v1.bounds_swap()
    (v1.root / "memory" / "memory.memsw.limit_in_bytes").touch()
    assert v1.bounds_swap()
    assert v1.root == v2.root
    assert not v2.bounds_swap()
    (v2.root / "system.slice").mkdir()
    (v2.root / "system.slice" / "memory.swap.max").touch()
    assert v2.bounds_swap()
    assert not CgroupHost(0, v1.root).bounds_swap()
    for host in (v1, v2):
        host.create(GROUP, replace(LIMITS, no_swap=True))
    assert text(v1, f"memory{GROUP}/memory.memsw.limit_in_bytes") == str(1 << 20)
    assert text(v2, f"{GROUP[1:]}/memory.swap.max") == "0"


def test_processors_of_version_1(v1: CgroupHost) -> None:
    assert not v1.has_cpusets()
    assert not CgroupHost(0, v1.root).has_cpusets()
    top = v1.root / "cpuset"
    (top / "cpuset.cpus").write_text("0-3\n")
    (top / "cpuset.mems").write_text("0\n")
    assert v1.has_cpusets()
    folder = top
    for name in GROUP[1:].split("/"):  # the kernel makes these, empty
        folder /= name
        folder.mkdir()
        (folder / "cpuset.cpus").write_text("\n")
        (folder / "cpuset.mems").write_text("\n")
        (folder / "cgroup.procs").touch()
    (top / "corral-a" / "cpuset.cpus").write_text("0-2\n")
    v1.create(GROUP, replace(LIMITS, cpus="1"))
    assert text(v1, "cpuset/corral-a/serve-1/cpuset.cpus") == "0-2"
    assert text(v1, "cpuset/corral-a/serve-1/cpuset.mems") == "0"
    assert text(v1, f"cpuset{GROUP}/cpuset.cpus") == "1"
    assert text(v1, f"cpuset{GROUP}/cpuset.mems") == "0"
    v1.enter(GROUP)
    assert text(v1, f"cpuset{GROUP}/cgroup.procs") == "0"


def test_processors_of_version_2(v2: CgroupHost) -> None:
    assert v2.has_cpusets()
    v2.create(GROUP, replace(LIMITS, cpus="2-3"))
    assert text(v2, f"{GROUP[1:]}/cpuset.cpus") == "2-3"
    assert text(v2, "corral-a/cgroup.subtree_control") == "+cpu +cpuset +memory +pids"
    (v2.root / "cgroup.controllers").write_text("cpu memory pids")
    assert not v2.has_cpusets()


def test_a_group_is_occupied_while_somebody_lives_below_it(v1: CgroupHost) -> None:
    below = v1.root / "memory" / GROUP[1:] / "below"
    below.mkdir(parents=True)
    assert not v1.occupied(GROUP)
    (below / "cgroup.procs").write_text("1\n")
    assert v1.occupied(GROUP)
    assert not CgroupHost(0, v1.root).occupied(GROUP)


def test_what_crun_puts_below_a_covered_hierarchy_is_removed(v1: CgroupHost) -> None:
    group = v1.root / "unified" / GROUP[1:]
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text("6\n")
    assert not v1.occupied(GROUP)
    v1.remove(GROUP)
    assert not group.exists()
    group.mkdir()
    (v1.root / "unified" / "cgroup.procs").touch()  # control: a true hierarchy, emptied by rmdir
    v1.remove(GROUP)
    assert not group.exists()


def test_no_bound_of_processor_time(v1: CgroupHost, v2: CgroupHost) -> None:
    for host in (v1, v2):
        host.create(GROUP, replace(LIMITS, cpu_quota_us=0))
    assert text(v1, f"cpu{GROUP}/cpu.cfs_quota_us") == "-1"
    assert text(v2, f"{GROUP[1:]}/cpu.max") == "max 100000"


def test_a_weight_is_changed_and_nothing_else(v1: CgroupHost, v2: CgroupHost) -> None:
    for host in (v1, v2):
        host.create(GROUP, LIMITS)
        for shares in (122, 1024):
            host.weigh(GROUP, shares)
        with pytest.raises(FileNotFoundError):
            host.weigh("/gone", 1024)
    assert text(v1, f"cpu{GROUP}/cpu.shares") == "1024"
    assert text(v2, f"{GROUP[1:]}/cpu.weight") == "39"
    assert text(v1, f"memory{GROUP}/memory.limit_in_bytes") == str(1 << 20)
    assert text(v2, f"{GROUP[1:]}/pids.max") == "7"


def test_limits_of_version_2(v2: CgroupHost) -> None:
    v2.create(GROUP, LIMITS)
    assert text(v2, f"{GROUP[1:]}/memory.max") == str(1 << 20)
    assert text(v2, f"{GROUP[1:]}/memory.oom.group") == "1"
    assert text(v2, f"{GROUP[1:]}/pids.max") == "7"
    assert text(v2, f"{GROUP[1:]}/cpu.max") == "150000 100000"
    assert text(v2, f"{GROUP[1:]}/cpu.weight") == "79"
    for parent in (".", "corral-a", "corral-a/serve-1"):
        assert text(v2, f"{parent}/cgroup.subtree_control") == "+cpu +memory +pids"
    assert not (v2.root / GROUP[1:] / "cgroup.subtree_control").exists()


def test_entering_leaves_out_groups_without_processors(v1: CgroupHost) -> None:
    for folder in v1.folders(GROUP):
        folder.mkdir(parents=True)
    for name in ("memory", "pids", "cpuset"):
        (v1.root / name / GROUP[1:] / "cgroup.procs").touch()
    (v1.root / "cpuset" / GROUP[1:] / "cpuset.cpus").touch()
    v1.enter(GROUP)
    assert text(v1, f"memory{GROUP}/cgroup.procs") == "0"
    assert text(v1, f"pids{GROUP}/cgroup.procs") == "0"
    assert text(v1, f"cpuset{GROUP}/cgroup.procs") == ""


@pytest.mark.parametrize(
    ("counters", "killed"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", True),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", False),
        ("oom_kill_disable 0\n", False),
        ("three words here\n", False),
        (None, False),
    ],
)
def test_memory_kills_are_counted(v1: CgroupHost, counters: str | None, killed: bool) -> None:
    folder = v1.root / "memory" / GROUP[1:]
    folder.mkdir(parents=True)
    if counters is not None:
        (folder / "memory.oom_control").write_text(counters)
    assert v1.out_of_memory(GROUP) is killed


def test_memory_kills_of_version_2(v2: CgroupHost) -> None:
    folder = v2.root / GROUP[1:]
    folder.mkdir(parents=True)
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n")
    assert v2.out_of_memory(GROUP)


def test_everything_in_a_group_is_killed(v2: CgroupHost) -> None:
    below = v2.root / GROUP[1:] / "below"
    below.mkdir(parents=True)
    children = [subprocess.Popen(["/bin/sleep", "60"]) for _ in range(2)]
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    (below.parent / "cgroup.procs").write_text(f"{gone.pid}\n{children[0].pid}\n")
    (below / "cgroup.procs").write_text(f"{children[1].pid}\n")
    (below / "x").mkdir()
    (below / "x" / "cgroup.procs").write_text("no number\n")
    v2.kill_all(GROUP)
    assert [child.wait(5) for child in children] == [-9, -9]


def test_a_group_is_removed_with_those_below_it(v1: CgroupHost) -> None:
    (v1.root / "memory" / GROUP[1:] / "below").mkdir(parents=True)
    v1.remove(GROUP)
    assert not (v1.root / "memory" / GROUP[1:]).exists()
    assert (v1.root / "memory" / "corral-a" / "serve-1").is_dir()


def test_removal_waits_until_the_members_have_gone(
    v2: CgroupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = v2.root / "a"
    group.mkdir()
    member = group / "member"
    member.touch()
    waits: list[float] = []

    def kernel_takes_its_time(seconds: float) -> None:
        waits.append(seconds)
        if sum(waits) > 2:  # a killed process may have to wait for a processor to end on
            member.unlink()

    monkeypatch.setattr(time, "monotonic", lambda: sum(waits))
    monkeypatch.setattr(time, "sleep", kernel_takes_its_time)
    v2.remove("/a")
    assert not group.exists()
    assert 2 < sum(waits) < 2.1


def test_what_crun_wrote_where_no_hierarchy_is_goes_at_once(
    v1: CgroupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = v1.root / "memory" / "covered"
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text("6")
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
    v1.remove("/covered")
    assert not group.exists()


def test_removal_gives_up_after_a_while(v2: CgroupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "a/b"):
        (v2.root / name).mkdir()
        (v2.root / name / "member").touch()
    waits: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: sum(waits))
    monkeypatch.setattr(time, "sleep", waits.append)
    v2.remove("/a")
    assert (v2.root / "a" / "b").exists()
    assert sum(waits) < 3.1  # for all of them together


def test_a_group_that_somebody_else_removed(
    v2: CgroupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = v2.root / "a"
    group.mkdir()
    (group / "member").touch()

    def somebody_else_is_faster(_: float) -> None:
        (group / "member").unlink()
        group.rmdir()

    monkeypatch.setattr(time, "sleep", somebody_else_is_faster)
    v2.remove("/a")
    assert not group.exists()


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Membership in groups below a/service; only what lies there may be written."""
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: "service" in str(path) and real(path, mode)
    )
    membership = tmp_path / "membership"
    membership.write_text(
        "9:name=systemd:/a/service\n8:pids:/a/service\n4:memory:/a/service\n"
        "2:cpu,cpuacct:/a/service\n0::/a/service\n"
    )
    return membership


def delegate_v1(root: Path, *names: str) -> None:
    for name in ("cpu", "memory", "pids"):
        (root / name).mkdir(parents=True)
    for name in names:
        (root / name / "a/service").mkdir(parents=True)
        (root / name / "a/service/cgroup.procs").touch()


def test_groups_that_were_given_to_a_user(given: Path, tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    delegate_v1(root, "cpu", "memory", "pids")
    host = find_cgroups(root, given)
    assert host.version == 1
    assert dict(host.delegated) == dict.fromkeys(("memory", "pids", "cpu"), "/a/service")
    host.create(GROUP, LIMITS)
    assert text(host, f"memory/a/service{GROUP}/memory.limit_in_bytes") == str(1 << 20)
    assert not (root / "memory" / GROUP[1:]).exists()
    folder = root / "memory/a/service" / GROUP[1:]
    (folder / "memory.oom_control").write_text("oom_kill 1\n")
    assert host.out_of_memory(GROUP)
    assert folder in host.folders(GROUP)
    assert len(host.folders(GROUP)) == 3


@pytest.mark.parametrize("names", [(), ("cpu", "memory"), ("memory", "pids")])
def test_a_part_of_them_is_not_enough(given: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    delegate_v1(tmp_path / "cgroup", *names)
    assert find_cgroups(tmp_path / "cgroup", given).version == 0


def test_a_user_outside_of_the_controllers(given: Path, tmp_path: Path) -> None:
    delegate_v1(tmp_path / "cgroup", "cpu", "memory", "pids")
    given.write_text("4:memory:/a/service\n")
    assert find_cgroups(tmp_path / "cgroup", given).version == 0


def delegate_v2(root: Path, procs: str = "", offered: str = "cpu memory pids") -> Path:
    folder = root / "a/service"
    folder.mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (folder / "cgroup.controllers").write_text(offered)
    (folder / "cgroup.procs").write_text(procs)
    (folder / "cgroup.subtree_control").touch()
    return folder


@pytest.mark.parametrize("leaf", ["", f"/{LEAF}"])
def test_a_group_of_version_2_that_was_given_to_a_user(
    given: Path, tmp_path: Path, leaf: str
) -> None:
    root = tmp_path / "cgroup"
    folder = delegate_v2(root)
    given.write_text(f"0::/a/service{leaf}\n")
    host = find_cgroups(root, given)
    assert (host.version, dict(host.delegated)) == (2, {"": "/a/service"})
    host.create(GROUP, LIMITS)
    assert (folder / GROUP[1:] / "memory.max").read_text() == str(1 << 20)
    assert (folder / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert not (root / "a/cgroup.subtree_control").exists()


@pytest.mark.parametrize(
    ("procs", "offered"), [("12\n", "cpu memory pids"), ("", "cpu pids"), ("", "")]
)
def test_a_group_that_others_live_in_or_that_lacks_controllers(
    given: Path, tmp_path: Path, procs: str, offered: str
) -> None:
    delegate_v2(tmp_path / "cgroup", procs, offered)
    assert find_cgroups(tmp_path / "cgroup", given).version == 0


def test_a_group_of_version_2_that_belongs_to_somebody_else(given: Path, tmp_path: Path) -> None:
    folder = delegate_v2(tmp_path / "cgroup")
    (folder / "cgroup.procs").unlink()
    assert find_cgroups(tmp_path / "cgroup", given).version == 0


def test_a_process_that_cannot_be_seen_is_not_our_group(v2: CgroupHost) -> None:
    group = v2.root / "a"
    group.mkdir()
    (group / "cgroup.procs").write_text("0\n")
    v2.kill_all("/a")  # kill(0) would end this test


def test_a_user_who_may_not_write(v1: CgroupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert find_cgroups(v1.root).version == 0
