"""Measurement 4: how long a worker takes to start in each runtime, and without any.

`started` is the launcher's reply that the jail runs, `ready` the worker's own word that its model
is loaded. Bare is the same worker program with the same options, by fork and exec.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from corral_side import model_file, sandbox_settings
from goals import Goal, median, rounded
from machine import installed
from parameters import CONTEXT_TOKENS, MODEL, MODEL_SHA256, PARALLEL, Plan, threads

from corral.cli.job_unsafe import job_launcher
from corral.control.client import LauncherClient
from corral.core.home import Home
from corral.core.limits import GIB
from corral.engine.wire import Load, encode_line
from corral.ipc.messages import StartEngine
from corral.sandbox.policy import sealed_document

_START = StartEngine(
    tenant="bench",
    model=MODEL,
    digest=MODEL_SHA256,
    quarantined=False,
    context_tokens=CONTEXT_TOKENS,
    parallel=PARALLEL,
    threads=threads(),
    memory_bytes=2 * GIB,
)
_READ_BYTES = 65536
_LOAD = encode_line(Load("{{ messages }}"))
NAMESPACES = ("crun", "runc")
"""Runtimes of the tier that has a goal; gVisor's figure is published, whatever it is."""
GOAL_MS = 50.0


def measure(home: Home, plan: Plan, work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    bare = [_bare_start(home) for _ in range(plan.starts)]
    results: dict[str, object] = {"bare": _record(bare)}
    goals: list[Goal] = []
    for runtime in installed(plan.runtimes):
        with job_launcher(home, sandbox_settings(runtime)) as launcher:
            _jailed_start(launcher)  # the first one prepares the image
            jailed = [_jailed_start(launcher) for _ in range(plan.starts)]
        results[runtime] = _record(jailed)
        if runtime in NAMESPACES:
            added_ms = median([s for s, _ in jailed]) - median([s for s, _ in bare])
            name = f"start of a jail over a bare process, {runtime}"
            goals.append(Goal(name, added_ms, "ms", GOAL_MS, at_least=False))
    return {"starts": results}, goals


def _jailed_start(launcher: LauncherClient) -> tuple[float, float]:
    began_s = time.perf_counter()
    started, fds = launcher.start(_START)
    started_s = time.perf_counter()
    try:
        os.write(fds[0], _LOAD)
        _await_ready(fds[1])
        ready_s = time.perf_counter()
    finally:
        launcher.stop(started.worker_id)  # before its stdin closes: then it would end by itself
        for fd in fds:
            os.close(fd)
    return (started_s - began_s) * 1000, (ready_s - began_s) * 1000


def _bare_start(home: Home) -> tuple[float, float]:
    profile = home.root / "sealed.json"
    profile.write_text(sealed_document("engine"))
    options = (
        "--model", str(model_file(home)), "--context-tokens", str(CONTEXT_TOKENS),
        "--parallel", str(PARALLEL), "--threads", str(threads()), "--event-interval-ms", "40",
        "--seal", str(profile), "--landlock", "optional",
    )  # fmt: skip
    began_s = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-I", "-B", "-m", "corral.engine.worker", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
    ) as process:
        started_s = time.perf_counter()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            os.write(process.stdin.fileno(), _LOAD)
            _await_ready(process.stdout.fileno())
            ready_s = time.perf_counter()
        finally:
            process.kill()
    return (started_s - began_s) * 1000, (ready_s - began_s) * 1000


def _await_ready(fd: int) -> None:
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(fd, _READ_BYTES)
        if not data:
            raise RuntimeError("the worker ended before it was ready")
        line += data
    if json.loads(line).get("ev") != "ready":
        raise RuntimeError("the worker could not load the model")


def _record(starts: list[tuple[float, float]]) -> dict[str, object]:
    started = [one for one, _ in starts]
    ready = [one for _, one in starts]
    return {
        "started_ms": rounded(started),
        "ready_ms": rounded(ready),
        "started_ms_median": round(median(started), 3),
        "ready_ms_median": round(median(ready), 3),
    }
