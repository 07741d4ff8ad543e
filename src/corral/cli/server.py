"""A running server as the command line sees it: its process and its workers.

Trust: operator side. Input: the lock file of the state folder, written by our own launcher.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from corral.control.client import LauncherClient
from corral.core.errors import CorralError
from corral.core.home import Home


@contextmanager
def connected(home: Home) -> Iterator[LauncherClient]:
    """Yield a client of the running server's launcher.

    Raises:
        CorralError: code `not_running`.
    """
    client = LauncherClient.connect(home.control_socket)
    try:
        yield client
    finally:
        client.close()


def server_pid(home: Home) -> int:
    """Return the process id of the running server's launcher.

    Raises:
        CorralError: code `not_running`.
    """
    # The socket answers only while the launcher lives: a pid left in the lock file by a killed
    # server may belong to somebody else by now.
    with connected(home):
        try:
            return int(home.lock_file.read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            raise CorralError(
                "not_running", "no corral server runs here", remedy="start one: corral up"
            ) from error


def signal_server(home: Home, number: signal.Signals, *, wait_s: float = 0) -> int:
    """Send a signal to the running server and return its process id.

    Args:
        home: state folder.
        number: the signal.
        wait_s: how long to wait for its end; 0 does not wait.

    Raises:
        CorralError: codes `not_running`, `still_running`.
    """
    pid = server_pid(home)
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise CorralError("not_running", "no corral server runs here") from error
    try:
        signal.pidfd_send_signal(process, number)
        if wait_s and not select.select([process], [], [], wait_s)[0]:
            raise CorralError(
                "still_running",
                f"the server has not ended within {wait_s:.0f} s",
                remedy="look at it with: corral ps; end it at once with: kill -KILL PID",
            )
    finally:
        os.close(process)
    return pid
