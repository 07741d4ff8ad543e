"""A production launcher with one statement run in it first, for tests only.

What the statement changes is the experiment (one capability less, another program in the jail);
everything else is the real path: command line, namespaces, profile, runtime.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from corral.control.client import LauncherClient
from corral.control.command import job_command
from corral.core.home import Home
from corral.ipc.socket import socket_pair
from tests.support.measured_launcher import measured

_ENTRY = "from corral.launcher.main"


@contextmanager
def patched_launcher(
    home: Home, settings: Mapping[str, object], statement: str
) -> Iterator[LauncherClient]:
    """Yield a client of a job launcher that ran `statement` before it started."""
    ours, theirs = socket_pair()
    argv = measured(job_command(home, settings, theirs.fileno()))
    boot = argv.index("-c") + 1
    assert _ENTRY in argv[boot]
    argv[boot] = argv[boot].replace(_ENTRY, f"exec({statement!r}); {_ENTRY}")
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
