"""A real launcher, real runtimes, real kernel: starts, refusals, ends."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corral.control.client import LauncherClient
from corral.core.errors import CorralError, IpcError
from corral.core.home import Home
from corral.ipc.messages import (
    Done,
    GatewayReady,
    OpenSecret,
    Secret,
    Started,
    StartEngine,
    StartFetch,
    StartScan,
    WorkerEnded,
)
from corral.ipc.socket import receive_frame, send_frame
from tests.support.measured_launcher import (
    StartedLauncher,
    alive,
    groups_of,
    members_of,
    until,
)

Launch = Callable[..., StartedLauncher]
EngineFor = Callable[..., StartEngine]
RUNTIMES = ["crun", "runc", "runsc"]


class Jail:
    """A started jail with its streams."""

    def __init__(self, client: LauncherClient, message: Any) -> None:
        self.client = client
        self.started, (self.stdin, out, err) = client.start(message)
        self.out = os.fdopen(out, "rb")
        self.err = os.fdopen(err, "rb")

    def line(self) -> str:
        return self.out.readline().decode().strip()

    def ended(self) -> WorkerEnded:
        return self.client.wait_ended(self.started.worker_id)

    def close(self) -> None:
        os.close(self.stdin)
        self.out.close()
        self.err.close()


@pytest.fixture
def jail(request: pytest.FixtureRequest) -> Callable[..., Jail]:
    def start(launcher: StartedLauncher, message: Any) -> Jail:
        made = Jail(launcher.client, message)
        request.addfinalizer(made.close)
        return made

    return start


StartJail = Callable[..., Jail]


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, needs_runtime: Callable[[str], None]) -> str:
    needs_runtime(request.param)
    return str(request.param)


def refused(attempt: Callable[[], object]) -> str:
    with pytest.raises(CorralError) as caught:
        attempt()
    assert not isinstance(caught.value, IpcError)
    return caught.value.code


def test_an_engine_answers_and_is_stopped(
    runtime: str, launch: Launch, engine_for: EngineFor, jail: StartJail, job_home: Home
) -> None:
    launcher = launch({"sandbox.runtime": runtime})
    worker = jail(launcher, engine_for("echo"))
    assert worker.line() == "echo"
    os.write(worker.stdin, b"hello\n")
    assert worker.line() == "hello"
    (status,) = launcher.client.workers()
    assert (status.kind, status.tenant, status.model) == ("engine", "default", "obeying")
    assert status.runtime == worker.started.runtime == runtime
    assert status.pid == worker.started.pid > 1
    assert status.rss_bytes > 0
    assert members_of(job_home) >= ({status.pid} if runtime != "runsc" else set())
    launcher.client.stop(worker.started.worker_id)
    assert worker.ended() == WorkerEnded(worker.started.worker_id, "killed", "stopped")
    assert not list(launcher.client.workers())
    assert not alive(status.pid)
    assert launcher.end() == 0
    assert not groups_of(job_home)


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        ("exit 0", "ok", "code 0"),
        ("exit 3", "exited", "code 3"),
        ("crash", "signaled", "SIGSEGV"),
    ],
)
def test_how_a_worker_ends_is_told(
    command: str, status: str, reason: str, launch: Launch, engine_for: EngineFor, jail: StartJail
) -> None:
    worker = jail(launch(), engine_for(command))
    ended = worker.ended()
    assert (ended.status, ended.reason) == (status, reason)


def test_a_worker_that_is_killed_from_outside(
    launch: Launch, engine_for: EngineFor, jail: StartJail
) -> None:
    worker = jail(launch(), engine_for("echo"))
    assert worker.line() == "echo"
    os.kill(worker.started.pid, signal.SIGKILL)
    ended = worker.ended()
    assert (ended.status, ended.reason) == ("signaled", "SIGKILL")


@pytest.mark.claim("BLAST-01")
def test_a_worker_that_is_stopped_from_outside(
    runtime: str, launch: Launch, engine_for: EngineFor, jail: StartJail
) -> None:
    worker = jail(launch({"sandbox.runtime": runtime}), engine_for("echo"))
    assert worker.line() == "echo"
    os.kill(worker.started.pid, signal.SIGSTOP)
    ended = worker.ended()
    assert (ended.status, ended.reason) == ("signaled", "SIGKILL")
    assert not alive(worker.started.pid)


@pytest.mark.claim("BLAST-01")
def test_a_download_that_is_stopped_from_outside(launch: Launch, jail: StartJail) -> None:
    fetch = jail(launch(), StartFetch("a-folder"))  # it waits to be told what to fetch
    began = time.monotonic()
    os.kill(fetch.started.pid, signal.SIGSTOP)
    ended = fetch.ended()
    assert (ended.status, ended.reason) == ("signaled", "SIGKILL")
    assert time.monotonic() - began < 30, "long before its own deadline"


@pytest.mark.claim("BLS-08")
def test_the_control_group_limits_memory(
    runtime: str, launch: Launch, engine_for: EngineFor, jail: StartJail
) -> None:
    launcher = launch({"sandbox.runtime": runtime})
    worker = jail(launcher, engine_for("share", memory_bytes=256 << 20))
    ended = worker.ended()
    assert (ended.status, ended.reason) == ("memory", "memory limit")


@pytest.mark.claim("BLS-08")
def test_the_data_limit_is_a_second_wall(
    launch: Launch, engine_for: EngineFor, jail: StartJail
) -> None:
    worker = jail(launch(), engine_for("grow", memory_bytes=256 << 20))
    assert worker.ended().status == "exited"
    assert b"MemoryError" in worker.err.read()


@pytest.mark.claim("SBX-15")
def test_what_a_jail_is_given(launch: Launch, engine_for: EngineFor, jail: StartJail) -> None:
    worker = jail(launch(), engine_for("facts"))
    assert worker.line() == "facts"
    facts = ast.literal_eval(worker.line())
    status = facts["status"]
    assert facts["env"] == {}
    assert set(facts["fds"]) <= {"0", "1", "2", "3", "4"}
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    outside = Path(f"/proc/{worker.started.pid}/status").read_text()
    uid = next(line.split()[1] for line in outside.splitlines() if line.startswith("Uid:"))
    assert int(uid) >= 0x4000_0000


@pytest.mark.claim("SBX-13")
def test_workers_have_different_ids(launch: Launch, engine_for: EngineFor, jail: StartJail) -> None:
    launcher = launch()
    uids = set()
    for tenant in ("a", "b"):
        worker = jail(launcher, engine_for("echo", tenant=tenant))
        worker.line()
        uids.add(Path(f"/proc/{worker.started.pid}").stat().st_uid)
        uids.add(
            int(Path(f"/proc/{worker.started.pid}/status").read_text().split("Uid:")[1].split()[0])
        )
    assert len(uids - {0}) == 2


def test_a_scan_reports(runtime: str, launch: Launch, jail: StartJail, job_home: Home) -> None:
    candidate = job_home.quarantine / "candidate"
    candidate.write_bytes(b"this is no model")
    candidate.chmod(0o444)
    scan = jail(launch({"sandbox.runtime": runtime}), StartScan("candidate"))
    os.write(scan.stdin, b"\n")
    report = json.loads(scan.line())
    assert report["verdict"] == "reject"
    assert report["findings"][0]["code"] == "magic"
    assert scan.ended().status == "ok"


def test_a_fetch_starts(launch: Launch, jail: StartJail, job_home: Home) -> None:
    fetch = jail(launch(), StartFetch("a-folder"))
    os.write(fetch.stdin, b"this is no order\n")
    assert fetch.ended().status in {"ok", "exited"}
    folder = job_home.quarantine / "a-folder"
    assert folder.stat().st_uid >= 0x4000_0000
    assert folder.stat().st_mode & 0o777 == 0o700


def test_refusals_start_nothing(launch: Launch, engine_for: EngineFor, job_home: Home) -> None:
    client = launch().client
    good = engine_for("echo")
    for change, code in (
        ({"digest": "0" * 64}, "model_missing"),
        ({"digest": "x"}, "bad_digest"),
        ({"quarantined": True}, "model_missing"),
        ({"tenant": "A"}, "bad_tenant_name"),
        ({"model": "/"}, "bad_model_name"),
        ({"parallel": 0}, "bad_engine_option"),
    ):
        message = replace(good, **change)  # type: ignore[arg-type]
        assert refused(lambda message=message: client.start(message)) == code  # type: ignore[misc]
    assert refused(lambda: client.start(StartScan("../../etc/passwd"))) == "model_missing"
    assert refused(lambda: client.start(StartFetch("../a"))) == "bad_folder"
    assert refused(lambda: client.request(OpenSecret("pepper"), Secret)) == "not_permitted"
    assert refused(lambda: client.request(GatewayReady(), Done)) == "not_permitted"
    assert refused(lambda: client.request(Started(1, 1, "", ""), Done)) == "not_permitted"
    assert refused(lambda: client.stop(77)) == "no_such_worker"
    (job_home.blobs / good.digest).chmod(0o666)
    assert refused(lambda: client.start(good)) == "model_unsafe"
    assert not list(client.workers())


def test_a_runtime_that_fails_is_a_refusal(
    launch: Launch, engine_for: EngineFor, job_home: Home
) -> None:
    launcher = launch()
    next(job_home.images.glob("engine-*/rootfs/opt/python/bin/corral-engine")).unlink()
    assert refused(lambda: launcher.client.start(engine_for("echo"))) == "jail_failed"
    assert not list(launcher.client.workers())


@pytest.mark.claim("LCH-09")
@pytest.mark.parametrize("frame", [b"\xff\0\0\0\1", b"\1\0", b"\3\0\0\0\1\0\1\n", b"\4\0\0\0\1"])
def test_a_client_that_breaks_the_protocol_ends_its_launcher(
    frame: bytes, launch: Launch, engine_for: EngineFor, jail: StartJail
) -> None:
    launcher = launch()
    worker = jail(launcher, engine_for("echo"))
    assert worker.line() == "echo"
    send_frame(launcher.client._sock, frame)
    assert launcher.monitor.wait(30) == 0
    assert not alive(worker.started.pid)


def test_a_client_that_does_not_read_is_dropped(
    launch: Launch, engine_for: EngineFor, jail: StartJail
) -> None:
    from corral.ipc.messages import NextWorker, encode_message

    launcher = launch()
    worker = jail(launcher, engine_for("echo"))
    sock = launcher.client._sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sock.settimeout(10)
    with pytest.raises((IpcError, OSError)):
        for number in range(100_000):
            send_frame(sock, encode_message(NextWorker(0), number))
    assert launcher.monitor.wait(30) == 0
    assert not alive(worker.started.pid)


def test_descriptors_of_a_client_are_closed(
    launch: Launch, engine_for: EngineFor, jail: StartJail
) -> None:
    from corral.ipc.messages import NextWorker, NoMore, encode_message

    launcher = launch()
    list(launcher.client.workers())
    folder = Path(f"/proc/{launcher.launcher_pid}/fd")
    before = len(os.listdir(folder))
    for number in range(20):
        send_frame(launcher.client._sock, encode_message(NextWorker(0), number), [0, 1, 2])
        assert receive_frame(launcher.client._sock) == (encode_message(NoMore(), number), [])
    assert len(os.listdir(folder)) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(
    number: signal.Signals, launch: Launch, engine_for: EngineFor, jail: StartJail, job_home: Home
) -> None:
    launcher = launch()
    worker = jail(launcher, engine_for("echo"))
    assert worker.line() == "echo"
    launcher.monitor.send_signal(number)
    assert launcher.monitor.wait(30) == 0
    assert not alive(worker.started.pid)
    assert not groups_of(job_home)


@pytest.mark.claim("KILL-03")
@pytest.mark.parametrize("victim", ["monitor", "launcher"])
@pytest.mark.parametrize("wanted", RUNTIMES)
def test_a_killed_launcher_leaves_nothing(
    victim: str, wanted: str, launch: Launch, engine_for: EngineFor, jail: StartJail,
    job_home: Home, needs_runtime: Callable[[str], None],
) -> None:  # fmt: skip
    needs_runtime(wanted)
    launcher = launch({"sandbox.runtime": wanted})
    worker = jail(launcher, engine_for("echo"))
    assert worker.line() == "echo"
    members = members_of(job_home) | {worker.started.pid, launcher.launcher_pid}
    pid = launcher.monitor.pid if victim == "monitor" else launcher.launcher_pid
    os.kill(pid, signal.SIGKILL)
    launcher.monitor.wait(30)
    assert until(lambda: not any(map(alive, members))), "a process is left"
    assert worker.out.read() == b""
    mounts = Path("/proc/mounts").read_text()
    assert str(job_home.root) not in mounts
    following = launch()
    assert not list(following.client.workers())
    own = {g.name for g in groups_of(job_home)}
    assert own <= {f"job-{following.monitor.pid}"}
    assert following.end() == 0
    assert not groups_of(job_home)


def test_without_a_runtime_it_says_so(launch: Launch) -> None:
    launcher = launch({"sandbox.tier": "vm"})
    assert launcher.monitor.wait(30) == 1
    assert launcher.monitor.stderr is not None
    error = json.loads(launcher.monitor.stderr.read())["error"]
    assert error["code"] in {"tier_unsupported", "runtime_missing"}
    assert error["remedy"]


def test_its_name_is_shown(launch: Launch) -> None:
    launcher = launch()
    list(launcher.client.workers())
    names = [
        Path(f"/proc/{pid}/comm").read_text().strip()
        for pid in (launcher.monitor.pid, launcher.launcher_pid)
    ]
    assert names == ["corral-monitor", "corral-launcher"]


@pytest.mark.claim("SBX-14")
def test_it_keeps_only_the_capabilities_that_runtimes_use(launch: Launch) -> None:
    launcher = launch()
    list(launcher.client.workers())
    status = Path(f"/proc/{launcher.launcher_pid}/status").read_text()
    bounding = int(status.split("CapBnd:")[1].split()[0], 16)
    net_admin, net_raw, sys_module, sys_rawio, sys_boot = 12, 13, 16, 17, 22
    assert not any(bounding >> n & 1 for n in (net_admin, net_raw, sys_module, sys_rawio, sys_boot))


@pytest.mark.claim("SBX-14")
def test_mounts_of_the_launcher_are_its_own(launch: Launch, job_home: Home) -> None:
    launcher = launch()
    list(launcher.client.workers())
    inside = Path(f"/proc/{launcher.launcher_pid}/mounts").read_text()
    stores = [line.split() for line in inside.splitlines() if line.split()[1] == "/mnt/store"]
    assert stores
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(stores[0][3].split(","))
    assert "/mnt/store" not in Path("/proc/mounts").read_text()


def test_a_wall_that_the_operator_gave_up_is_logged(launch: Callable[..., StartedLauncher]) -> None:
    started = launch({"sandbox.allow_degraded": ["mdwe"]})
    assert list(started.client.workers()) == []
    events = started.home.log_file.read_text()
    assert '"event": "degraded", "feature": "mdwe"' in events
