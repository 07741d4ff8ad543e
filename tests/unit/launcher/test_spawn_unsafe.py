"""Starts that fail leave nothing; the runtime here is a script that misbehaves."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corral.core.errors import SandboxError
from corral.core.limits import FRAME_FDS
from corral.launcher import spawn_unsafe
from corral.launcher.events import EventLog
from corral.launcher.spawn_unsafe import Stdio, remove_bundle, reserve_fds, start_bundle
from corral.sandbox.cgroup import CgroupHost
from corral.sandbox.runtimes import Runtime
from tests.support.children import ended, in_child

DOCUMENT: dict[str, Any] = {
    "linux": {
        "resources": {
            "memory": {"limit": 1 << 20}, "pids": {"limit": 4},
            "cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
        }
    }
}  # fmt: skip
GROUP = "/corral-a/job-1/scan-1"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("bundles", "runtime"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(spawn_unsafe, name.upper(), tmp_path / name)
    return tmp_path


def runtime(folder: Path, script: str) -> Runtime:
    path = folder / "a_runtime"
    path.write_text(f'#!/bin/sh\ncd {folder}\necho "$*" >> calls\n{script}\n')
    path.chmod(0o755)
    return Runtime("crun", str(path), "namespaces", passes_fds=True, keeps_cgroup=False)


def start(
    stage: Path, made: Runtime, *, group: str = "", extra: tuple[int, ...] = (),
    own_core: bool = False, document: dict[str, Any] = DOCUMENT,
) -> str:  # fmt: skip
    """Start in a child, because low descriptors are taken; return the pid or the error's code."""

    def look() -> str:
        cgroups = CgroupHost(2 if group else 0, stage / "cgroup")
        log = EventLog(stage / "log" / "corral.log")
        null = os.open("/dev/null", os.O_RDWR)
        reserve_fds()
        try:
            return str(start_bundle(
                made, "scan-1", document, Stdio(null, null, null), extra, cgroups, group, log,
                own_core=own_core,
            ))  # fmt: skip
        except SandboxError as error:
            return f"{error.code} {error.message}"

    return in_child(look)


def nothing_is_left(stage: Path) -> bool:
    return not list((stage / "bundles").iterdir()) and not list((stage / "runtime").iterdir())


def test_a_start(stage: Path) -> None:
    made = runtime(stage, "echo 4711 > bundles/scan-1/pid")
    assert start(stage, made) == "4711"
    assert json.loads((stage / "bundles/scan-1/config.json").read_text()) == DOCUMENT
    remove_bundle(made, "scan-1", CgroupHost(0, stage), "")
    assert nothing_is_left(stage)


@pytest.mark.claim("LCH-07")
def test_extra_descriptors_begin_at_three_and_no_other_is_inherited(stage: Path) -> None:
    made = runtime(stage, "cat <&3 > third; ls /proc/self/fd > open; echo 5 > bundles/scan-1/pid")
    file = stage / "given"
    file.write_text("given")

    def look() -> str:
        fd = os.open(file, os.O_RDONLY)
        high = os.dup2(fd, 40, inheritable=False)
        leaked = os.dup2(fd, 41, inheritable=True)
        return f"{leaked} {start(stage, made, extra=(high,))}"

    assert in_child(look) == "41 5"
    assert (stage / "third").read_text() == "given"
    # ls holds one more descriptor: of the folder that it lists.
    assert {int(n) for n in (stage / "open").read_text().split()} <= {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo broken > bundles/scan-1/log; exit 3", "the runtime exited with 3"),
        ("exit 1", "the runtime exited with 1"),
        ("true", "FileNotFoundError"),
        ("echo no number > bundles/scan-1/pid", "ValueError"),
    ],
)
def test_a_runtime_that_fails(stage: Path, script: str, why: str) -> None:
    made = runtime(stage, f"mkdir -p runtime/scan-1; {script}")
    assert start(stage, made) == f"jail_failed the jail could not be started (crun: {why})"
    assert nothing_is_left(stage)
    assert (stage / "calls").read_text().splitlines()[-1].endswith("delete --force scan-1")


def test_last_words_go_to_the_log(stage: Path) -> None:
    start(stage, runtime(stage, "echo the reason > bundles/scan-1/log; exit 1"))
    record = json.loads((stage / "log/corral.log").read_text())
    assert record["event"] == "runtime_failed"
    assert record["detail"] == "the reason\n"


def test_a_runtime_that_hangs(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn_unsafe, "_START_SECONDS", 0.2)
    # Made before: a `mkdir` of the script might outlive it by a moment.
    (stage / "runtime/scan-1").mkdir()
    made = runtime(stage, "exec /bin/sleep 60")
    assert start(stage, made).startswith("jail_failed")
    assert nothing_is_left(stage)


def test_a_runtime_that_keeps_its_group_is_started_in_it(stage: Path) -> None:
    (stage / "cgroup").mkdir()
    made = replace(runtime(stage, "echo 6 > bundles/scan-1/pid"), keeps_cgroup=True)
    group = stage / "cgroup" / GROUP[1:]
    group.mkdir(parents=True)
    (group / "cgroup.procs").touch()
    assert start(stage, made, group=GROUP) == "6"
    assert (group / "memory.max").read_text() == str(1 << 20)
    assert (group / "pids.max").read_text() == "68"
    assert (group / "cpu.max").read_text() == "50000 100000"
    assert (group / "cgroup.procs").read_text() == "0"


def test_a_runtime_that_keeps_its_group_gets_its_cores_there(stage: Path) -> None:
    (stage / "cgroup").mkdir()
    made = replace(runtime(stage, "echo 6 > bundles/scan-1/pid"), keeps_cgroup=True)
    resources = DOCUMENT["linux"]["resources"]
    strict = {"linux": {"resources": {
        **resources, "memory": {"limit": 1 << 20, "swap": 1 << 20},
        "cpu": {**resources["cpu"], "cpus": "1"},
    }}}  # fmt: skip
    assert start(stage, made, group=GROUP, document=strict) == "6"
    group = stage / "cgroup" / GROUP[1:]
    assert (group / "cpuset.cpus").read_text() == "1"
    assert (group / "memory.swap.max").read_text() == "0"


def test_a_cookie_is_claimed_before_the_runtime_starts(
    stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = runtime(stage, "echo 6 > bundles/scan-1/pid")
    monkeypatch.setattr(spawn_unsafe, "claim_core", (stage / "claimed").touch)
    assert start(stage, made) == "6"
    assert not (stage / "claimed").exists()
    remove_bundle(made, "scan-1", CgroupHost(0, stage), "")
    assert start(stage, made, own_core=True) == "6"
    assert (stage / "claimed").exists()


def test_without_the_cookie_that_it_needs_nothing_starts(
    stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError("no cookie")

    monkeypatch.setattr(spawn_unsafe, "claim_core", refuse)
    made = runtime(stage, "echo 6 > bundles/scan-1/pid")
    assert start(stage, made, own_core=True).startswith("jail_failed")
    assert not (stage / "calls").exists()


def test_a_group_that_cannot_be_made_starts_nothing(stage: Path) -> None:
    made = replace(runtime(stage, "echo 6 > bundles/scan-1/pid"), keeps_cgroup=True)
    (stage / "cgroup").write_text("in the way")
    assert start(stage, made, group=GROUP).startswith("jail_failed")
    assert "run --detach" not in (stage / "calls").read_text()
    assert nothing_is_left(stage)


def test_removal_goes_on_when_the_runtime_hangs(
    stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn_unsafe, "_START_SECONDS", 0.2)
    cgroups = CgroupHost(2, stage / "cgroup")
    group = cgroups.root / "a"
    group.mkdir(parents=True)
    (stage / "bundles/scan-1").mkdir()
    (stage / "runtime/scan-1").mkdir()
    with ended(subprocess.Popen(["/bin/sleep", "60"])) as member:
        (group / "cgroup.procs").write_text(str(member.pid))
        remove_bundle(runtime(stage, "exec /bin/sleep 60"), "scan-1", cgroups, "/a")
        assert member.wait(5) == -9
    assert nothing_is_left(stage)


def taken(count: int) -> Callable[[], str]:
    def look() -> str:
        os.closerange(3, 64)
        for _ in range(count):
            os.dup2(2, os.open("/dev/null", os.O_RDONLY))
        reserve_fds()
        names = [os.readlink(f"/proc/self/fd/{n}") for n in range(3, 3 + FRAME_FDS)]
        inherited = any(os.get_inheritable(n) for n in range(3, 3 + FRAME_FDS))
        beyond = os.path.exists(f"/proc/self/fd/{3 + FRAME_FDS}")
        return f"{set(names)} {inherited} {beyond}"

    return look


@pytest.mark.parametrize("count", [0, 2, FRAME_FDS])
def test_low_descriptors_are_reserved(count: int) -> None:
    assert in_child(taken(count)) == "{'/dev/null'} False False"
