"""Each capability that the launcher keeps is needed, and no other is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.control.client import LauncherClient
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.ipc.messages import StartEngine, StartFetch
from corral.launcher.capabilities import load_kept
from corral.launcher.host import installation_name
from tests.support.measured_launcher import CGROUPS, StartedLauncher
from tests.support.patched_launcher import patched_launcher

ROOT = sorted(load_kept("root"))
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
RUNTIMES = ("crun", "runc", "runsc")


def capabilities(pid: int) -> dict[str, set[int]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = {name: int(text, 16) for name, _, text in (line.partition(":") for line in lines)
              if name in SETS}  # fmt: skip
    return {name: {n for n in range(64) if value >> n & 1} for name, value in values.items()}


def keeping(numbers: list[int]) -> str:
    """The only change: which capabilities are kept."""
    return (
        "import corral.launcher.namespaces_unsafe as n\n"
        f"n.load_kept = lambda who: frozenset({numbers})"
    )


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
    with patched_launcher(job_home, {"sandbox.runtime": runtime}, keeping(ROOT)) as client:
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
            with patched_launcher(job_home, {"sandbox.runtime": runtime}, keeping(rest)) as client:
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
def test_a_live_monitor_has_one(
    launch: Callable[..., StartedLauncher], engine_for: Callable[..., StartEngine], job_home: Home
) -> None:
    launcher = launch()
    started, streams = launcher.client.start(engine_for("echo"))
    found = capabilities(launcher.monitor.pid)
    assert found["CapPrm"] == found["CapEff"] == found["CapBnd"] == {1}
    assert found["CapInh"] == found["CapAmb"] == set()
    assert own_groups(job_home)
    launcher.client.stop(started.worker_id)
    for fd in streams:
        os.close(fd)
    assert launcher.end() == 0
    assert not own_groups(job_home), "what the monitor keeps it for"


@pytest.mark.claim("SVC-02")
def test_without_it_control_groups_are_left(
    job_home: Home, engine_for: Callable[..., StartEngine]
) -> None:
    statement = (
        "import corral.launcher.namespaces_unsafe as n\nkept = n.load_kept\n"
        "n.load_kept = lambda who: kept(who) if who != 'monitor' else frozenset()"
    )
    with patched_launcher(job_home, {}, statement) as client:
        use_everything(client, engine_for("echo"))
    left = own_groups(job_home)
    for folder in left:
        folder.rmdir()
    assert left


def own_groups(home: Home) -> list[Path]:
    return list(CGROUPS.glob(f"*/corral-{installation_name(home)}"))
