"""Start each zone's jail as the product does, and take the filters of its process.

`engine` is the worker as the jail entry leaves it, before the model; `engine-sealed` is the same
worker once it answers. A worker's filters only ever grow, so the first two are those of the start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from corral.cli.job_unsafe import job_launcher
from corral.core.home import Home
from corral.engine.wire import Load, encode_line
from corral.ipc.messages import StartEngine, StartFetch, StartGuard, StartMedia, StartScan
from tests.security.syscalls.bpf import Program
from tests.security.syscalls.live_filters import live_filters
from tests.support.server import MODEL, MODEL_SHA256, start_server
from tests.support.tiny_detector import make_detector

ENTRY_FILTERS = 2
"""Of the OCI runtime, and of the jail entry."""
ZONES = ("engine", "engine-sealed", "scan", "guard", "media", "fetch", "gateway")

ENGINE = StartEngine(
    tenant="default", model=MODEL, digest=MODEL_SHA256, quarantined=False, context_tokens=2048,
    parallel=4, threads=2, memory_bytes=900 << 20,
)  # fmt: skip

Filters = dict[str, list[Program]]


@contextmanager
def started(launcher, message) -> Iterator[tuple[int, int]]:
    """Yield process id and stdout of a job; it is stopped at the end."""
    answer, fds = launcher.start(message)
    try:
        if isinstance(message, StartEngine):
            os.write(fds[0], encode_line(Load("{{ messages }}")))  # a worker loads nothing before
        yield answer.pid, fds[1]
    finally:
        for fd in fds:
            os.close(fd)
        launcher.stop(answer.worker_id)


def candidate(home: Path) -> str:
    """Put the demo model into the quarantine, as a pull does; return its name there."""
    (home / "quarantine").mkdir(exist_ok=True)
    path = home / "quarantine" / MODEL_SHA256
    if not path.exists():
        os.link(home / "store" / "sha256" / MODEL_SHA256, path)
    return path.name


def job_filters(home: Path, runtime: str) -> Filters:
    """Return the filters of all jobs, of an engine before and after it sealed itself."""
    found: Filters = {}
    name = candidate(home)
    make_detector(home / "detector")  # that there is one makes its zone
    with job_launcher(Home(home), {"sandbox.runtime": runtime}) as launcher:
        with started(launcher, StartFetch("verdicts")) as (pid, _):
            found["fetch"] = live_filters(pid, at_least=ENTRY_FILTERS)
        with started(launcher, StartScan(name)) as (pid, _):
            found["scan"] = live_filters(pid, at_least=ENTRY_FILTERS)
        with started(launcher, StartGuard()) as (pid, _):
            found["guard"] = live_filters(pid, at_least=ENTRY_FILTERS)
        with started(launcher, StartMedia()) as (pid, _):
            found["media"] = live_filters(pid, at_least=ENTRY_FILTERS)
        with started(launcher, ENGINE) as (pid, stdout):
            ready = os.read(stdout, 65536)
            assert b'"ready"' in ready, ready
            found["engine-sealed"] = live_filters(pid)
            found["engine"] = found["engine-sealed"][-ENTRY_FILTERS:]
    return found


def gateway_filters(home: Path, runtime: str) -> Filters:
    """Return the filters of the gateway of a live server."""
    server = start_server(home, "--runtime", runtime)
    try:
        below = psutil.Process(server.pid).children(recursive=True)
        gateway = next(p for p in below if "corral-gateway" in " ".join(p.cmdline()))
        return {"gateway": live_filters(gateway.pid, at_least=ENTRY_FILTERS)}
    finally:
        server.stop()


def zone_filters(home: Path, runtime: str) -> Filters:
    """Return the filters of every zone, newest first."""
    return job_filters(home, runtime) | gateway_filters(home, runtime)
