"""Each capability that the launcher keeps is needed, and no other is there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.ipc.client import LauncherClient
from corral.ipc.messages import StartEngine, StartFetch
from corral.ipc.socket import socket_pair
from corral.launcher.capabilities import load_kept
from corral.launcher.command import job_command
from tests.support.measured_launcher import StartedLauncher, measured

ROOT = sorted(load_kept("root"))
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
RUNTIMES = ("crun", "runc", "runsc")


def capabilities(pid: int) -> dict[str, set[int]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = {name: int(text, 16) for name, _, text in (line.partition(":") for line in lines)
              if name in SETS}  # fmt: skip
    return {name: {n for n in range(64) if value >> n & 1} for name, value in values.items()}


@contextmanager
def started_with(home: Home, kept: list[int], runtime: str) -> Iterator[LauncherClient]:
    """A launcher as in production, but for the set that it keeps."""
    ours, theirs = socket_pair()
    argv = measured(job_command(home, {"sandbox.runtime": runtime}, theirs.fileno()))
    boot = argv.index("-c") + 1
    argv[boot] = argv[boot].replace(
        "from corral.launcher.main",
        "import corral.launcher.namespaces_unsafe as n; "
        f"n.load_kept = lambda who: frozenset({kept}); from corral.launcher.main",
    )
    monitor = subprocess.Popen(
        argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    theirs.close()
    ours.settimeout(60)
    client = LauncherClient(ours)
    try:
        yield client
    finally:
        client.close()
        monitor.wait(30)


def use_everything(client: LauncherClient, engine: StartEngine) -> None:
    """Start and stop an engine and a fetch."""
    for message in (engine, StartFetch("folder")):
        started, streams = client.start(message)
        for fd in streams:
            os.close(fd)
        if isinstance(message, StartEngine):
            client.stop(started.worker_id)
        client.wait_ended(started.worker_id)


@pytest.mark.claim("SVC-01")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_kept_is_enough(
    runtime: str, needs_runtime: Callable[[str], None], job_home: Home,
    engine_for: Callable[..., StartEngine],
) -> None:  # fmt: skip
    needs_runtime(runtime)
    with started_with(job_home, ROOT, runtime) as client:
        use_everything(client, engine_for("echo"))


@pytest.mark.claim("SVC-01")
@pytest.mark.parametrize("number", ROOT)
def test_without_any_one_of_them_it_does_not_work(
    number: int, job_home: Home, engine_for: Callable[..., StartEngine]
) -> None:
    rest = [n for n in ROOT if n != number]
    broken = []
    for runtime in ("crun", "runc"):
        try:
            with started_with(job_home, rest, runtime) as client:
                use_everything(client, engine_for("echo"))
        except (CorralError, OSError, EOFError):
            broken.append(runtime)
    assert broken


@pytest.mark.claim("SVC-01")
def test_a_live_launcher_has_no_other(launch: Callable[..., StartedLauncher]) -> None:
    launcher = launch()
    list(launcher.client.workers())
    found = capabilities(launcher.launcher_pid)
    assert found["CapPrm"] == found["CapEff"] == found["CapBnd"] == set(ROOT)
    assert found["CapInh"] == found["CapAmb"] == set()
    assert capabilities(os.getpid())["CapEff"] > set(ROOT), "root of this host has nothing more"


@pytest.mark.claim("SVC-02")
def test_a_live_monitor_has_none(launch: Callable[..., StartedLauncher]) -> None:
    launcher = launch()
    list(launcher.client.workers())
    assert not any(capabilities(launcher.monitor.pid).values())
    assert launcher.end() == 0
