"""A port for a program that cannot choose one itself and say which."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000


def reserved_port() -> int:
    """Return a free port of loopback that the kernel gives nobody who asks for any.

    One that it gave us would be free again until the program binds it, and the next that it gives
    to a test beside this one.
    """
    first_given = int(_RANGE.read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(_LOWEST, first_given)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
