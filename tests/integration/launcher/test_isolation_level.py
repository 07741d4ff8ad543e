"""The isolation level on real workers of a real launcher, read back from the kernel."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.ipc.messages import Started, StartEngine
from corral.jail.hardware_unsafe import call_kernel
from corral.launcher import isolation
from corral.launcher.host import installation_name
from corral.sandbox.cgroup import find_cgroups
from corral.sandbox.hardware import parse_cpus, whole_cores
from tests.support.measured_launcher import CGROUPS, StartedLauncher

Launch = Callable[..., StartedLauncher]
EngineFor = Callable[..., StartEngine]
RUNTIMES = ["crun", "runc", "runsc"]
ACCEPTED = ["ksm", "speculation", "swap", "smt"]
"""What the host of a test may lack; exclusive cores it must have."""
STRICT = {"isolation.level": "strict", "sandbox.allow_degraded": ACCEPTED}
CORES = whole_cores(os.sched_getaffinity(0))
WORKERS = 2
KSM = "/proc/self/ksm_stat"
PR_SET_MEMORY_MERGE = 67


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, needs_runtime: Callable[[str], None]) -> str:
    needs_runtime(request.param)
    return str(request.param)


@pytest.fixture
def start(engine_for: EngineFor) -> Iterator[Callable[..., Started]]:
    """Start workers; wait until their program runs."""
    streams: list[Any] = []

    def one(launcher: StartedLauncher, tenant: str) -> Started:
        started, (stdin, out, err) = launcher.client.start(engine_for("echo", tenant=tenant))
        streams.extend(os.fdopen(fd, "rb") for fd in (stdin, out, err))
        assert streams[-2].readline() == b"echo\n"
        return started

    yield one
    for stream in streams:
        stream.close()


def threads_of(pid: int) -> list[str]:
    """Return the status of every thread of a process and of its children.

    Threads and children of a sentry come and go: one that has gone meanwhile is none.
    """
    found: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append((task / "status").read_text())
            for child in (task / "children").read_text().split():
                found += threads_of(int(child))
    return found


def cpus_of(pid: int) -> tuple[int, ...]:
    """Return where any of these threads may run."""
    found: set[int] = set()
    for status in threads_of(pid):
        found |= set(parse_cpus(status.split("Cpus_allowed_list:\t")[1].split("\n")[0]))
    return tuple(sorted(found))


@pytest.mark.claim("HW-01")
def test_strict_workers_have_cores_that_nobody_else_has(
    runtime: str, launch: Launch, start: Callable[..., Started]
) -> None:
    each = len(CORES) // WORKERS
    assert each, "this test needs two cores"
    launcher = launch({
        **STRICT, "sandbox.runtime": runtime, "isolation.cores_per_worker": each,
    })  # fmt: skip
    workers = [start(launcher, f"tenant-{number}") for number in range(WORKERS)]
    places = [cpus_of(worker.pid) for worker in workers]
    assert places == [
        tuple(sorted(sum(CORES[i * each : (i + 1) * each], ()))) for i in range(WORKERS)
    ]
    with pytest.raises(CorralError) as caught:
        start(launcher, "one-too-many")
    assert caught.value.code == "no_exclusive_cores"
    launcher.client.stop(workers[0].worker_id)
    assert cpus_of(start(launcher, "one-too-many").pid) == places[0]


@pytest.mark.claim("HW-01")
def test_at_the_standard_level_workers_share_all_cores(
    launch: Launch, start: Callable[..., Started]
) -> None:
    """Control: what the strict level changes is there without it."""
    launcher = launch()
    places = {cpus_of(start(launcher, f"tenant-{number}").pid) for number in range(WORKERS + 1)}
    assert places == {tuple(sorted(os.sched_getaffinity(0)))}


@pytest.mark.claim("HW-03")
def test_a_worker_is_neither_merged_nor_swapped(
    runtime: str, launch: Launch, start: Callable[..., Started], job_home: Home
) -> None:
    call_kernel(PR_SET_MEMORY_MERGE, 1)  # what a service manager may do; every child inherits it
    try:
        inherited = subprocess.run(["/bin/cat", KSM], capture_output=True, text=True, check=False)
        worker = start(launch({"sandbox.runtime": runtime}), "default")
    finally:
        call_kernel(PR_SET_MEMORY_MERGE, 0)
    if "ksm_merge_any" in inherited.stdout:
        assert "ksm_merge_any: yes" in inherited.stdout  # control
        assert "ksm_merge_any: no" in Path(f"/proc/{worker.pid}/ksm_stat").read_text()
    if not whole_memory_limit(job_home, "memory.memsw.limit_in_bytes", "memory.swap.max"):
        if os.environ.get("CI") == "true":
            pytest.fail("CI must account for swap")
        pytest.skip("this host cannot limit swap")


def whole_memory_limit(home: Home, version_1: str, version_2: str) -> bool:
    """Return whether every group of a live jail leaves no swap; False where there are none."""
    name = installation_name(home)
    memsw = list(CGROUPS.glob(f"memory/corral-{name}/*/engine-*/{version_1}"))
    limits = [file.with_name("memory.limit_in_bytes").read_text() for file in memsw]
    if memsw:
        assert [file.read_text() for file in memsw] == limits
    swap = list(CGROUPS.glob(f"corral-{name}/*/engine-*/{version_2}"))
    assert all(file.read_text() == "0\n" for file in swap)
    return bool(memsw or swap)


@pytest.mark.claim("HW-04")
def test_strict_refuses_a_host_that_lacks_a_point_and_names_each(launch: Launch) -> None:
    points = isolation.read_points(
        missing=isolation.opt_out(), cookies=isolation.core_scheduling_works(),
        cgroups=find_cgroups(), cores=CORES,
    )  # fmt: skip
    missing = [point.name for point in points if not point.held]
    launcher = launch({"isolation.level": "strict"})
    if not missing:
        assert list(launcher.client.workers()) == []
        return
    assert launcher.monitor.wait(30) == 1
    assert launcher.monitor.stderr is not None
    error = json.loads(launcher.monitor.stderr.read().splitlines()[-1])["error"]
    assert error["code"] == "isolation_missing"
    assert all(f"--allow-degraded={name}" in error["remedy"] for name in missing)
    # Control: with exactly these named it starts.
    accepted = launch({"isolation.level": "strict", "sandbox.allow_degraded": missing})
    assert list(accepted.client.workers()) == []


@pytest.mark.claim("HW-02")
def test_a_strict_worker_insists_on_what_its_launcher_found(
    launch: Launch, start: Callable[..., Started]
) -> None:
    worker = start(launch(STRICT), "default")
    argv = Path(f"/proc/{worker.pid}/cmdline").read_bytes().decode().split("\0")
    required = next((a for a in argv if a.startswith("--require=")), "")
    shown = threads_of(worker.pid)[0]
    assert "ksm" in required
    assert ("speculation" in required) == ("Store_Bypass:\tvulnerable" not in shown)


@pytest.mark.claim("HW-05")
def test_a_device_by_its_cdi_name(
    launch: Launch, start: Callable[..., Started], cdi_null: str
) -> None:
    """/dev/null stands for a GPU: what a lease guards is a device node, whatever is behind it."""
    launcher = launch({"isolation.devices": [f"a:{cdi_null}", f"b:{cdi_null}"]})
    first = start(launcher, "a")
    assert devices_of(first.pid) == {"corral-test": "1:3"}
    with pytest.raises(CorralError) as caught:
        start(launcher, "b")
    assert caught.value.code == "gpu_in_use"
    assert devices_of(start(launcher, "c").pid) == {}  # control: no grant, no device
    launcher.client.stop(first.worker_id)
    assert devices_of(start(launcher, "b").pid) == {"corral-test": "1:3"}


def devices_of(pid: int) -> dict[str, str]:
    """Return the devices of a jail but those that every jail has."""
    found = {}
    for path in Path(f"/proc/{pid}/root/dev").iterdir():
        if path.is_char_device() and path.name.startswith("corral-"):
            number = path.stat().st_rdev
            found[path.name] = f"{os.major(number)}:{os.minor(number)}"
    return found


@pytest.fixture
def cdi_null(needs_root: None) -> Iterator[str]:
    """A CDI spec on this host that calls /dev/null a device of a vendor."""
    name = f"corral.test/null=p{os.getpid()}"
    folder = Path("/var/run/cdi")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"corral-test-{os.getpid()}.json"
    file.write_text(json.dumps({
        "cdiVersion": "0.6.0", "kind": "corral.test/null",
        "devices": [{"name": f"p{os.getpid()}", "containerEdits": {
            "deviceNodes": [{"path": "/dev/corral-test", "hostPath": "/dev/null"}],
            "env": ["CORRAL_TEST=1"],
        }}],
    }))  # fmt: skip
    yield name
    file.unlink()
