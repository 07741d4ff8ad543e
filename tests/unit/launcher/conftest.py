"""A launcher's parts without jails: real files, real descriptors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corral.core.config import Config
from corral.core.home import Home
from corral.launcher.events import EventLog
from corral.launcher.host import Host
from corral.launcher.jails import Jail, JailTable
from corral.launcher.pen import Pen
from corral.sandbox.cgroup import CgroupHost
from corral.sandbox.policy import KINDS, load_policy
from corral.sandbox.runtimes import Runtime

CRUN = Runtime("crun", "/bin/false", "namespaces", passes_fds=True, keeps_cgroup=False)
RUNSC = Runtime("runsc", "/bin/false", "gvisor", passes_fds=False, keeps_cgroup=True)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    for folder in (place.state, place.run, place.blobs, place.quarantine, place.tls):
        folder.mkdir(parents=True)
    return place


@pytest.fixture
def config() -> Config:
    return Config()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with gVisor for engines and no cgroups."""
    return Host(
        engine_runtimes={"untrusted": RUNSC, "verified": RUNSC, "trusted": CRUN},
        plain_runtime=CRUN,
        cgroups=CgroupHost(0, tmp_path),
        cgroup_base="",
        first_uid=1_000_000,
        rootless=False,
        degraded=(),
        policies={kind: load_policy(kind) for kind in KINDS},
    )


@pytest.fixture
def jails() -> JailTable:
    return JailTable()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    made = EventLog(tmp_path / "launcher.log")
    yield made
    os.close(made.fd)


@pytest.fixture
def pen(host: Host, jails: JailTable, log: EventLog) -> Pen:
    return Pen(host, jails, -1, log)


@pytest.fixture
def add_jail(jails: JailTable) -> Callable[..., Jail]:
    def add(*, kind: str = "engine", owner: int = 1, pid: int = 2**22 + 1) -> Jail:
        worker_id = jails.reserve()
        jail = Jail(
            worker_id=worker_id, kind=kind, name=f"{kind}-{worker_id}", pid=pid, host_pid=99,
            owner=owner, tenant="t", model="m", digest="d",
        )  # fmt: skip
        jails.add(jail)
        return jail

    return add
