"""The listening socket that a service manager made for us, if it made one.

Trust: operator side; runs before this process becomes the launcher. Input: `$LISTEN_PID`,
`$LISTEN_FDS` and descriptor 3 of whoever started us. Protocol: sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket
from typing import Final

from corral.core.errors import CorralError

_FIRST_FD: Final = 3
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def take_listener() -> socket.socket | None:
    """Return the inherited TCP listener, or nothing if this process was not activated.

    The variables are removed: they are meant for this process only.

    Raises:
        CorralError: code `bad_activation`: what was passed is not exactly one listening TCP socket.
    """
    passed = {name: os.environ.pop(name, "") for name in _VARIABLES}
    if passed["LISTEN_PID"] != str(os.getpid()):
        return None  # nothing was passed, or it was meant for a process that we descend from
    if passed["LISTEN_FDS"] != "1":
        raise _refused(f"{passed['LISTEN_FDS'] or 'no'} sockets were passed")
    os.set_inheritable(_FIRST_FD, False)
    try:
        listener = socket.socket(fileno=_FIRST_FD)
    except OSError as error:
        raise _refused("what was passed is no socket") from error
    if listener.family not in {socket.AF_INET, socket.AF_INET6}:
        raise _refused("the socket is not one of TCP")
    if listener.type != socket.SOCK_STREAM or not listener.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        raise _refused("the socket does not listen for streams")
    return listener


def _refused(why: str) -> CorralError:
    return CorralError(
        "bad_activation",
        f"the service manager passed no usable listener: {why}",
        remedy="exactly one ListenStream= with a port, and Accept=no, belong in corral.socket",
    )
