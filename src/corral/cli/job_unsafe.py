"""A launcher of our own for one command: pull, scan and run need no server.

Trust: operator side; starts the launcher and nothing else. The launcher kills all it started when
the channel closes, which the kernel does for us even if we are killed.
Input: trusted.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from corral.control.client import LauncherClient
from corral.control.command import job_command, selftest_command
from corral.core.home import Home
from corral.ipc.socket import socket_pair
from corral.service.leaf import enter_leaf

_END_SECONDS: Final = 30
"""A launcher that has not cleaned up within this time is killed; its jails die with it."""


_Command = Callable[[Home, Mapping[str, object], int], list[str]]


@contextmanager
def job_launcher(
    home: Home, settings: Mapping[str, object], *, command: _Command = job_command
) -> Iterator[LauncherClient]:
    """Start a launcher, yield its client, and wait until nothing of it is left.

    Args:
        home: state folder.
        settings: dotted settings over the configuration file.
        command: which launcher.
    """
    enter_leaf()
    ours, theirs = socket_pair()
    with theirs:
        process = subprocess.Popen(
            command(home, settings, theirs.fileno()),
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            # Ctrl-C is ours to answer: the launcher ends when the channel closes.
            start_new_session=True,
        )
    client = LauncherClient(ours)
    try:
        yield client
    finally:
        client.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def selftest_launcher(
    home: Home, settings: Mapping[str, object]
) -> AbstractContextManager[LauncherClient]:
    """Start a launcher that has every zone's image; see `job_launcher`."""
    return job_launcher(home, settings, command=selftest_command)
