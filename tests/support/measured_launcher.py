"""Launchers started by tests, with coverage measured in them where the suite is measured.

The production command runs the interpreter without site packages (`-S`), so that no third-party
code can get into the privileged process. A measured run must have one such package: coverage. Then,
and only then, `-S` is left out here; coverage starts itself by its `.pth` file. Nothing in `src`
knows of this.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corral.control.client import LauncherClient
from corral.control.command import job_command, serve_command
from corral.control.sealed_key import key_memory, seal_key
from corral.core.home import Home
from corral.ipc.socket import socket_pair
from corral.launcher.host import installation_name
from tests.support.server import folders_below

CGROUPS = Path("/sys/fs/cgroup")


def measured(argv: list[str]) -> list[str]:
    """Return the command line of a launcher, measured if this process is."""
    if "COVERAGE_PROCESS_CONFIG" not in os.environ:
        return argv
    return [argument for argument in argv if argument != "-S"]


@dataclass
class StartedLauncher:
    """A launcher of this test.

    Attributes:
        monitor: the process that was started; the launcher itself is its child.
    """

    home: Home
    monitor: subprocess.Popen[str]
    client: LauncherClient

    @property
    def launcher_pid(self) -> int:
        """Id of the launcher: PID 1 of its namespace."""
        path = Path(f"/proc/{self.monitor.pid}/task/{self.monitor.pid}/children")
        return int(path.read_text().split()[0])

    def end(self) -> int:
        """Close the channel and return the exit code."""
        self.client.close()
        return self.monitor.wait(30)


def start_job(home: Home, settings: Mapping[str, object]) -> StartedLauncher:
    """Start a launcher that works for this test."""
    ours, theirs = socket_pair()
    monitor = subprocess.Popen(
        measured(job_command(home, settings, theirs.fileno())),
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, text=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    theirs.close()
    ours.settimeout(90)
    return StartedLauncher(home, monitor, LauncherClient(ours))


MASTER_KEY = b"m" * 32


@dataclass
class StartedServer:
    """A server's launcher and what it reported."""

    home: Home
    monitor: subprocess.Popen[str]
    report: dict[str, Any]

    def end(self) -> int:
        """End the server as a service manager does; return the exit code."""
        if self.monitor.poll() is None:
            self.monitor.terminate()
        return self.monitor.wait(30)


def start_serve(home: Home, settings: Mapping[str, object], listener: int = -1) -> StartedServer:
    """Start a server's launcher, with a master key, and wait for its report."""
    read, write = os.pipe()
    key = seal_key(key_memory(), MASTER_KEY)
    monitor = subprocess.Popen(
        measured(serve_command(home, settings, write, listener, key)),
        pass_fds=[write, key, listener][: 3 if listener >= 0 else 2], stdin=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    os.close(write)
    os.close(key)
    with os.fdopen(read) as stream:
        line = stream.readline()
    return StartedServer(home, monitor, json.loads(line) if line else {})


def groups_of(home: Home) -> list[Path]:
    """Return the control groups of an installation that exist now."""
    name = f"corral-{installation_name(home)}"
    return [path for path in folders_below(CGROUPS) if path.parent.name == name]


def members_of(home: Home) -> set[int]:
    """Return the processes in the control groups of an installation."""
    found: set[int] = set()
    for group in groups_of(home):
        for folder in (group, *folders_below(group)):
            try:
                found |= {int(line) for line in (folder / "cgroup.procs").read_text().split()}
            except OSError:
                continue
    return found


def alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Any, *, seconds: float = 60) -> bool:
    """Return whether `condition()` became true in time: the time for what must come, no bound."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
