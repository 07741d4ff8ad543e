"""Measurement 5: from a fault to the next good answer of the same tenant, zone by zone.

The clock runs from the fault (a signal, or the cut end of the answer that brought it about) to the
last byte of the tenant's next answer, asked for again and again on new connections. corral runs
under a stand-in for a service manager, which starts it again `RestartSec` after its end, as the
shipped unit says. Worker faults have a second tenant's stream beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from corral_side import CorralServer, model_file, tenant_key
from goals import Goal, rounded
from parameters import CONTEXT_TOKENS, PARALLEL, Plan
from processes import process_name
from prompts import prompts
from stream_client import Connection, Endpoint, StreamError

import corral
from corral.core.home import Home

GOAL_S = 2.0
_LIMIT_S = 60.0
_LOOK_S = 0.01
_TOKENS = 4
_TENANT = "bench-recovery"
_CORRAL = Path(sys.executable).parent / "corral"
_UNIT = Path(corral.__file__).parent / "service/units/system/corral.service"
_SETTINGS = f"""\
# Written by bench/recovery.py.
[engine]
context_tokens = {CONTEXT_TOKENS}
parallel = {PARALLEL}
threads = 1
memory_bytes = 700000000
crashes_max = 1000

[limits]
requests_per_minute = 100000
"""


class Service:
    """`corral up` on a fixed port, started again when it ends, as a service manager does."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.restart_s = restart_delay_s()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._end = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep_up)

    def __enter__(self) -> CorralServer:
        """Return the server once it serves."""
        self._thread.start()
        until = time.monotonic() + _LIMIT_S
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            if time.monotonic() > until:
                raise RuntimeError("corral up does not serve")
            time.sleep(0.05)
        return self.server()

    def __exit__(self, *_: object) -> None:
        """End it for good."""
        self._end.set()
        self._process.terminate()
        self._thread.join(_LIMIT_S)

    def server(self) -> CorralServer:
        """Return the server as it is now."""
        return CorralServer(
            home=self.home, host="127.0.0.1", port=self.port,
            tls=ssl.create_default_context(cafile=str(self.home.ca_cert)),
            monitor_pid=self._process.pid,
        )  # fmt: skip

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(_CORRAL), "up", "--home", str(self.home.root), "--port", str(self.port),
             "--allow-degraded=detector"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _keep_up(self) -> None:
        while True:
            self._process.wait()
            if self._end.wait(self.restart_s):
                return
            self._process = self._start()


def restart_delay_s() -> float:
    """Return what the shipped unit says about the time before a restart."""
    found = re.search(r"^RestartSec=(\d+)(ms|s)?$", _UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError("the unit names no RestartSec")
    return int(found[1]) / (1000 if found[2] == "ms" else 1)


def measure(home: Home, plan: Plan, work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    copied = with_faulty_worker(home, work)
    taken: dict[str, list[float]] = {name: [] for name in FAULTS}
    service = Service(copied)
    with service as server:
        key = tenant_key(copied, _TENANT)
        beside = tenant_key(copied, "bench-beside")
        series = prompts()
        for _ in range(plan.recoveries):
            for name, fault in FAULTS.items():
                _until_answered(server.endpoint(key), next(series))
                if name.startswith("worker"):
                    with _stream_beside(server.endpoint(beside)):
                        began_s = fault(service.server(), key)
                        _until_answered(server.endpoint(key), next(series))
                else:
                    began_s = fault(service.server(), key)
                    _until_answered(server.endpoint(key), next(series))
                taken[name].append(time.monotonic() - began_s)
    goals = [
        Goal(f"recovery, {name}, slowest", max(each), "s", GOAL_S, at_least=False)
        for name, each in taken.items()
    ]
    faults = {
        name: {"recovery_s": rounded(each), "recovery_s_max": round(max(each), 3)}
        for name, each in taken.items()
    }
    return {"restart_s": service.restart_s, "faults": faults}, goals


def with_faulty_worker(home: Home, work: Path) -> Home:
    """Copy a state folder, build its images, and put the faulty worker into the engine's."""
    copied = Home(work / "home")
    shutil.copytree(
        home.root, copied.root, symlinks=True,
        ignore=lambda folder, names: names if Path(folder) == home.blobs else [],
    )  # fmt: skip
    shutil.copy2(model_file(home), model_file(copied))
    copied.config_file.write_text(_SETTINGS, encoding="utf-8")
    with Service(copied):
        pass  # builds the images
    (package,) = copied.images.glob("engine-*/rootfs/opt/python/lib/python3.*/site-packages/corral")
    worker = package / "engine/worker.py"
    shutil.copyfile(worker, package / "engine/genuine.py")
    worker.unlink()  # it may be another image's file too, by a hard link
    shutil.copyfile(Path(__file__).with_name("faulty_worker.py"), worker)
    for cached in (package / "engine/__pycache__").glob("worker.*"):
        cached.unlink()
    return copied


def _until_answered(endpoint: Endpoint, prompt: str) -> None:
    until = time.monotonic() + _LIMIT_S
    while not asyncio.run(_answered(endpoint, prompt)):
        if time.monotonic() > until:
            raise RuntimeError("no answer any more")
        time.sleep(_LOOK_S)


async def _answered(endpoint: Endpoint, prompt: str) -> bool:
    try:
        async with asyncio.timeout(_LIMIT_S):
            connection = await Connection.open(endpoint)
            try:
                await connection.ask(prompt, _TOKENS)
            finally:
                connection.close()
    except (StreamError, OSError):
        return False
    return True


@contextlib.contextmanager
def _stream_beside(endpoint: Endpoint) -> Iterator[None]:
    """Let another tenant ask all the time; one failure of it ends the measurement."""
    end, failed = threading.Event(), threading.Event()
    series = prompts()

    def ask() -> None:
        while not end.is_set():
            if not asyncio.run(_answered(endpoint, next(series))):
                failed.set()

    _until_answered(endpoint, next(series))
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(_LIMIT_S)
    if failed.is_set():
        raise RuntimeError("another tenant felt the fault")


def _worker(number: signal.Signals) -> Callable[[CorralServer, str], float]:
    def fault(server: CorralServer, _: str) -> float:
        pid = next(one.pid for one in server.workers() if one.tenant == _TENANT)
        began_s = time.monotonic()
        os.kill(pid, number)
        return began_s

    return fault


def _asked_for(fault: str) -> Callable[[CorralServer, str], float]:
    def bring_about(server: CorralServer, key: str) -> float:
        if asyncio.run(_answered(server.endpoint(key), fault)):
            raise RuntimeError("the worker answered in place of its fault")
        return time.monotonic()

    return bring_about


def _process(name: str, number: signal.Signals) -> Callable[[CorralServer, str], float]:
    def fault(server: CorralServer, _: str) -> float:
        pid = server.processes()[name]
        began_s = time.monotonic()
        os.kill(pid, number)
        return began_s

    return fault


def _gateway_out_of_memory(server: CorralServer, key: str) -> float:
    """Leave the gateway's group hardly more than it uses, then send it bodies."""
    pid = server.processes()["gateway"]
    group = _memory_group(pid)
    older = (group / "memory.limit_in_bytes").exists()
    limit, used = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes")
        if older
        else ("memory.max", "memory.current")
    )
    (group / limit).write_text(str(int((group / used).read_text()) + (2 << 20)))
    writers: list[asyncio.StreamWriter] = []

    async def send_bodies() -> None:
        until = time.monotonic() + _LIMIT_S
        while process_name(pid):
            if time.monotonic() > until:
                raise RuntimeError("the gateway does not run out of memory")
            with contextlib.suppress(OSError):
                writers.append(await _send_half_a_body(server.endpoint(key)))
        for writer in writers:
            writer.transport.abort()

    asyncio.run(send_bodies())
    return time.monotonic()


def _memory_group(pid: int) -> Path:
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
        _, names, path = line.split(":", 2)
        if "memory" in names.split(",") or not names:
            group = Path("/sys/fs/cgroup", "memory" if names else "", path.lstrip("/"))
            if (group / "cgroup.procs").exists() and path != "/":
                return group
    raise RuntimeError("the gateway is in no memory group")


async def _send_half_a_body(endpoint: Endpoint) -> asyncio.StreamWriter:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {endpoint.host}\r\n"
        f"Authorization: Bearer {endpoint.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: 900000\r\n\r\n"
    ).encode()
    async with asyncio.timeout(2):
        _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.tls)
        writer.write(head + b" " * 800_000)
        await writer.drain()
    return writer


FAULTS: dict[str, Callable[[CorralServer, str], float]] = {
    "worker killed": _worker(signal.SIGKILL),
    "worker stopped": _worker(signal.SIGSTOP),
    "worker talks garbage": _asked_for("FAULT:garbage"),
    "worker out of memory": _asked_for("FAULT:memory"),
    "gateway killed": _process("gateway", signal.SIGKILL),
    "gateway stopped": _process("gateway", signal.SIGSTOP),
    "gateway out of memory": _gateway_out_of_memory,
    "launcher killed": _process("launcher", signal.SIGKILL),
    "launcher stopped": _process("launcher", signal.SIGSTOP),
}
"""What goes wrong, and how; each returns the monotonic time of its fault."""
