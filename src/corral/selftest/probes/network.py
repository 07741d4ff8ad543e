"""Sockets of every family, and the two listeners that the selftest made outside.

Trust: runs in a jail. Input: `Context`. Connects only to the selftest's own listeners.
"""

from __future__ import annotations

import os
import socket

from corral.selftest.probes.registry import Context, Stopped, no_result, probe

_NAMED = {1, 2, 10, 16, 17, 40}
_MSG_FASTOPEN = 0x20000000


@probe("net.tcp")
def _tcp(context: Context) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.connect(("127.0.0.1", context.port))


@probe("net.tcp6")
def _tcp6(_: Context) -> None:
    socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()


@probe("net.udp")
def _udp(context: Context) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("127.0.0.1", context.port))


@probe("net.raw")
def _raw(_: Context) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


@probe("net.packet")
def _packet(_: Context) -> None:
    socket.socket(17, socket.SOCK_RAW).close()


@probe("net.netlink")
def _netlink(_: Context) -> None:
    socket.socket(16, socket.SOCK_RAW).close()


@probe("net.netfilter")
def _netfilter(_: Context) -> None:
    socket.socket(16, socket.SOCK_RAW, 12).close()  # NETLINK_NETFILTER: CVE-2024-1086 and its kin


@probe("net.vsock")
def _vsock(_: Context) -> None:
    socket.socket(40, socket.SOCK_STREAM).close()


@probe("net.unix-abstract")
def _abstract(context: Context) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(f"\0{context.abstract}")


@probe("net.unix-path")
def _path(context: Context) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(context.unix)


@probe("files.control-sockets")
def _control_sockets(context: Context) -> None:
    # The Docker scenario: a socket of somebody more powerful lies in sight.
    paths = (context.unix, "/var/run/docker.sock", "/run/containerd/containerd.sock",
             "/run/systemd/private", "/run/dbus/system_bus_socket")  # fmt: skip
    if not any(os.path.exists(path) for path in paths):
        raise FileNotFoundError(2, "no socket")


@probe("net.other-families")
def _others(_: Context) -> None:
    opened = []
    for family in range(3, 46):
        if family in _NAMED:
            continue
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, 5):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            opened.append(family)
    if not opened:
        raise Stopped("none")


@probe("net.interfaces")
def _interfaces(_: Context) -> None:
    with open("/proc/self/net/dev", encoding="ascii") as file:
        names = {line.split(":")[0].strip() for line in file if ":" in line}
    if names <= {"lo"}:
        raise Stopped("lo-only")


@probe("net.fastopen-listener")
def _fast_open(context: Context) -> None:
    # A listening socket can be turned round: shut it down, then `sendto` with MSG_FASTOPEN
    # connects it, in the namespace where it was made, without `connect`.
    with socket.socket(fileno=os.dup(context.listeners[0])) as sock:
        sock.setblocking(True)
        sock.shutdown(socket.SHUT_RD)
        sock.sendto(b"x", _MSG_FASTOPEN, ("127.0.0.1", context.port))


@probe("net.fastopen-message")
def _fast_open_message(context: Context) -> None:
    # The same by `sendmsg`.
    with socket.socket(fileno=os.dup(context.listeners[1])) as sock:
        sock.setblocking(True)
        with no_result():  # the probe before this one has shut it down already
            sock.shutdown(socket.SHUT_RD)
        sock.sendmsg([b"x"], [], _MSG_FASTOPEN, ("127.0.0.1", context.port))
