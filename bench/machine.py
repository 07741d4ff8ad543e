"""The machine that figures were taken on: facts, load, and whether it is quiet enough."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path

LOAD_MAX = 1.0
WAIT_S = 60.0
_PACKAGES = ("corral", "xllamacpp", "uvicorn", "uvloop", "starlette", "httptools", "msgspec")


def load_average() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def wait_until_quiet(wait_s: float = WAIT_S) -> bool:
    """Return whether the load average came below `LOAD_MAX` in time."""
    until = time.monotonic() + wait_s
    while load_average() > LOAD_MAX:
        if time.monotonic() > until:
            return False
        time.sleep(2)
    return True


def machine_facts() -> dict[str, object]:
    """Return what figures depend on: processor, kernel, versions."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text("utf-8"))
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory[1]) // 1024 if memory else 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "root": os.geteuid() == 0,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "runtimes": {name: _version(name) for name in installed(("crun", "runc", "runsc"))},
        "commit": _commit(),
    }


def installed(runtimes: tuple[str, ...]) -> tuple[str, ...]:
    """Return those runtimes that this machine has."""
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    return tuple(name for name in runtimes if shutil.which(name, path=search))


def _version(runtime: str) -> str:
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    binary = shutil.which(runtime, path=search) or runtime
    return _first_line([binary, "--version"])


def _commit() -> str:
    root = Path(__file__).parent
    found = _first_line(["git", "-C", str(root), "rev-parse", "--short", "HEAD"])
    changed = _first_line(["git", "-C", str(root), "status", "--porcelain", "../src"])
    return f"{found}, src changed" if changed else found


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0]
