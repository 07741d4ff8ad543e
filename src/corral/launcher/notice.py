"""Tell a service manager how the server is: one datagram.

Trust: trusted base. Input: `$NOTIFY_SOCKET` of whoever started us. Protocol: sd_notify(3).
"""

from __future__ import annotations

import os
import socket


def tell_manager(state: str) -> None:
    """Send e.g. `READY=1`; does nothing where no manager listens.

    A manager that cannot be told is no reason to end a server that works: it has its own timeout.
    """
    place = os.environ.get("NOTIFY_SOCKET", "")
    if place[:1] not in {"/", "@"}:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(state.encode(), place.replace("@", "\0", 1))
        except OSError:
            return
