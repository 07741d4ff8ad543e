"""A server's life: bind, start the gateway, keep it running, drain, end.

Trust: trusted base. Input: the operator's configuration and signals.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

from corral.core.config import Config
from corral.core.errors import SandboxError
from corral.core.home import Home
from corral.core.limits import DRAIN_SECONDS
from corral.ipc.messages import Drain, Reload
from corral.ipc.socket import socket_pair
from corral.launcher.events import EventLog
from corral.launcher.jails import Jail, JailTable
from corral.launcher.loop import Channel, Loop
from corral.launcher.pen import Pen
from corral.launcher.requests import Requests
from corral.launcher.session import Role
from corral.launcher.stage import STATE
from corral.sandbox import linux_unsafe as linux

_READY_SECONDS: Final = 60
_ALIVE_SECONDS: Final = 10
"""A gateway says `GatewayAlive` each 2 s; silent for this long it is hung, and is replaced."""
_RESTARTS: Final = 5
"""A gateway that ends this often without having been ready in between is given up."""
_RESTART_WINDOW_S: Final = 60
_DELAY_S: Final = 0.05
_DELAY_MAX_S: Final = 0.8
"""Before a restart; the first is after 0.1 s, each further one within a minute doubles it. More
would buy nothing: a gateway that was ready serves the tenants who did not end it."""
_BACKLOG: Final = 512


def bind_listener(config: Config) -> socket.socket:
    """Bind the address of the configuration.

    Raises:
        SandboxError: code `bind_failed`.
    """
    listen = config.listen
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        return socket.create_server(
            (listen.host, listen.port), family=family, backlog=_BACKLOG,
            dualstack_ipv6=family == socket.AF_INET6,
        )  # fmt: skip
    except OSError as error:
        why = os.strerror(error.errno or 0)  # its own text names the address once more
        raise SandboxError(
            "bind_failed", f"{listen.host} port {listen.port} cannot be bound: {why}",
            remedy="choose another port: corral up --port 0",
        ) from error  # fmt: skip


def bind_control(home: Home) -> socket.socket:
    """Bind the operator's socket, which only the operator's user may connect to."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    home.control_socket.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        # A relative name: socket paths are limited to 108 bytes, state folders are not.
        here = os.open(".", os.O_PATH | os.O_DIRECTORY)
        os.chdir(home.run)
        sock.bind(home.control_socket.name)
        os.fchdir(here)
        os.close(here)
    finally:
        os.umask(before)
    sock.listen(8)
    return sock


class Server:
    """Runs the gateway and answers it and the operator."""

    def __init__(
        self, *, home: Home, config: Config, pen: Pen, jails: JailTable, log: EventLog,
        loop: Loop, listener: socket.socket, report: Callable[[dict[str, object]], None],
        master_key: int,
    ) -> None:  # fmt: skip
        self._pen = pen
        self._log = log
        self._loop = loop
        self._listener = listener
        self._report = report
        self._gateway: tuple[Jail, Channel] | None = None
        self._starts: list[float] = []
        self._restart_at: float | None = None
        self._unready = 0
        self._ready = False
        self._draining_until: float | None = None
        self._jails = jails
        self._requests = Requests(
            home=home, config=config, pen=pen, jails=jails, log=log,
            on_gateway_ready=self._note_ready, master_key=master_key,
        )  # fmt: skip

    def run(self) -> int:
        """Serve until SIGTERM or a failure; return the exit code."""
        # Jails make their own network namespaces; from here on the launcher needs none either.
        linux.unshare(linux.CLONE_NEWNET)
        code = 0
        self._start_gateway()
        while self._loop.running:
            until = self._restart_at or self._draining_until or time.monotonic() + 3600
            ended = self._loop.step(self._requests, until)
            self._answer_signals()
            if self._restart_at and time.monotonic() >= self._restart_at:
                self._start_gateway()
            for jail, _ in ended:
                if self._gateway and jail is self._gateway[0]:
                    code = self._gateway_ended(jail)
            if self._draining_until and time.monotonic() >= self._draining_until:
                self._loop.stop()
        self._loop.kill_everything()
        self._log.write("server_stopped", code=code)
        return code

    def _start_gateway(self) -> None:
        self._restart_at = None
        self._unready += 1
        ours, theirs = socket_pair()
        channel = self._loop.add_channel(ours, Role.GATEWAY)
        jail = self._pen.start_gateway(
            listener=self._listener.fileno(), channel=theirs.fileno(), log=self._log.fd,
            state=STATE, owner=channel.session.identity,
        )  # fmt: skip
        theirs.close()
        jail.deadline = time.monotonic() + _READY_SECONDS  # each start has it, the first and later
        self._jails.add(jail)
        self._gateway = (jail, channel)
        self._starts.append(time.monotonic())
        self._log.write("gateway_started", worker_id=jail.worker_id)

    def _gateway_ended(self, jail: Jail) -> int:
        assert self._gateway is not None  # noqa: S101 - the caller has checked
        self._loop.close_channel(self._gateway[1])
        silent = jail.timed_out and time.monotonic() - self._starts[-1] >= _READY_SECONDS
        self._gateway = None
        if self._draining_until:
            self._loop.stop()
            return 0
        recent = [t for t in self._starts if t > time.monotonic() - _RESTART_WINDOW_S]
        if not self._ready and silent:
            return self._fail("gateway_silent", "the gateway did not come up in time")
        if not self._ready:
            return self._fail("gateway_failed", "the gateway ended while it started")
        if self._unready >= _RESTARTS:
            return self._fail("gateway_crash_loop", "the gateway does not come up again")
        self._restart_at = time.monotonic() + min(_DELAY_S * 2 ** len(recent), _DELAY_MAX_S)
        self._log.write("gateway_restarting", count=len(recent))
        return 0

    def _fail(self, code: str, message: str) -> int:
        self._log.write("server_failed", code=code)
        self._report({
            "error": {"code": code, "message": message, "remedy": "see: corral logs"}
        })  # fmt: skip
        self._loop.stop()
        return 1

    def _note_ready(self) -> None:
        if not self._ready:
            host, port = self._listener.getsockname()[:2]
            self._report({"host": host, "port": port})
            self._log.write("server_ready", port=port)
        self._ready = True
        self._unready = 0
        assert self._gateway is not None  # noqa: S101 - it is who says so
        self._gateway[0].deadline = time.monotonic() + _ALIVE_SECONDS

    def _answer_signals(self) -> None:
        while self._loop.signals:
            number = self._loop.signals.pop(0)
            gateway = self._gateway[1].session.identity if self._gateway else 0
            if number == signal.SIGHUP:
                self._loop.send(gateway, Reload())
            elif self._draining_until is None:
                self._log.write("server_draining", deadline_s=DRAIN_SECONDS)
                self._draining_until = time.monotonic() + DRAIN_SECONDS + 2
                self._loop.send(gateway, Drain(DRAIN_SECONDS))
                if self._gateway:
                    self._gateway[1].session.draining = True
                else:  # it is between its end and its next start: nobody waits for anything
                    self._loop.stop()


def report_to(fd: int) -> Callable[[dict[str, object]], None]:
    """Return a function that writes one JSON line to `fd`, once, and closes it."""
    left = [fd]

    def report(document: dict[str, object]) -> None:
        if left:
            number = left.pop()
            try:
                os.write(number, json.dumps(document).encode() + b"\n")
            except OSError:
                return  # nobody waits any more
            finally:
                os.close(number)

    return report
