"""The launcher's event loop: channels, ends of children, deadlines, signals.

Trust: trusted base. Input: frames on channels, bounded and decoded by `ipc`; a channel that breaks
the protocol is closed and its jails are killed.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from dataclasses import dataclass
from typing import Final

from corral.core.errors import IpcError
from corral.ipc.messages import Done, Message, WorkerEnded, decode_message, encode_message
from corral.ipc.socket import close_all, receive_frame, send_frame
from corral.launcher.dispatch import dispatch
from corral.launcher.events import EventLog
from corral.launcher.jails import Jail, JailTable
from corral.launcher.pen import Pen
from corral.launcher.requests import Requests
from corral.launcher.session import Role, Session
from corral.sandbox.outcome import Outcome

_IDLE_SECONDS: Final = 3600.0
_OPERATORS: Final = 16
_GATEWAY_EXIT_SECONDS: Final = 2.0


@dataclass(slots=True)
class Channel:
    """One client's socket with its standing."""

    sock: socket.socket
    session: Session


class Loop:
    """Serves channels until `stop` is called or the last owner has gone."""

    def __init__(self, *, pen: Pen, jails: JailTable, log: EventLog, alive: int) -> None:
        self._pen = pen
        self._jails = jails
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._channels: dict[int, Channel] = {}
        self._next_identity = 1
        self._wake, wake_write = socket.socketpair()
        self._wake.setblocking(False)
        wake_write.setblocking(False)
        self._wake_write = wake_write
        self._control: socket.socket | None = None
        self._running = True
        self.signals: list[int] = []
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._note)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._selector.register(alive, selectors.EVENT_READ)
        self._alive = alive

    def _note(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self.signals.append(number)

    def add_channel(self, sock: socket.socket, role: Role) -> Channel:
        """Serve a client on `sock` from now on."""
        sock.setblocking(False)
        channel = Channel(sock, Session(self._next_identity, role, set()))
        self._next_identity += 1
        self._channels[channel.session.identity] = channel
        self._selector.register(sock, selectors.EVENT_READ)
        return channel

    def listen(self, control: socket.socket) -> None:
        """Accept operators on a listening socket from now on."""
        control.setblocking(False)
        self._control = control
        self._selector.register(control, selectors.EVENT_READ)

    def stop(self) -> None:
        """End `step` for good."""
        self._running = False

    @property
    def running(self) -> bool:
        """Whether `stop` has not been called and the monitor still lives."""
        return self._running

    def step(self, requests: Requests, until: float) -> list[tuple[Jail, Outcome]]:
        """Wait for events until a monotonic time, serve them, return the jails that ended.

        Args:
            requests: carries out permitted requests.
            until: monotonic seconds; the step ends then at the latest.
        """
        deadline = min(until, self._jails.next_deadline() or until)
        timeout = min(max(0.0, deadline - time.monotonic()), _IDLE_SECONDS)
        ready = self._selector.select(timeout)
        # Who comes is let in last: the places of those who have gone meanwhile are free by then.
        for key, _ in sorted(ready, key=lambda one: one[0].fileobj is self._control):
            if key.fileobj == self._alive:
                self.stop()
            elif key.fileobj is self._wake:
                self._drain_wake()
            elif key.fileobj is self._control:
                self._accept()
            else:
                self._serve(key.fileobj, requests)
        # What was said in time is heard first, however long a runtime has kept us from listening.
        for jail in [] if ready else list(self._jails.overdue(time.monotonic())):
            self._pen.expire(jail)
        return self._bury_ended()

    def send(self, identity: int, message: Message, request_id: int = 0) -> None:
        """Send an event or a late answer; a client that has gone or stalls is dropped."""
        channel = self._channels.get(identity)
        if channel is None:
            return
        try:
            send_frame(channel.sock, encode_message(message, request_id))
        except (IpcError, BlockingIOError):
            self.close_channel(channel)

    def close_channel(self, channel: Channel) -> None:
        """Forget a client and kill the jails that it started."""
        if self._channels.pop(channel.session.identity, None) is None:
            return
        self._selector.unregister(channel.sock)
        channel.sock.close()
        for jail in self._jails.owned_by(channel.session.identity):
            if jail.kind == "gateway":  # it closed its channel because it is about to end
                jail.deadline = time.monotonic() + _GATEWAY_EXIT_SECONDS
            else:
                self._pen.kill(jail)
        if channel.session.role is Role.JOB:
            self.stop()

    def kill_everything(self) -> None:
        """Kill all jails and bury them."""
        while jail := next((j for j in self._all() if not j.stopped_by_us), None):
            self._pen.kill(jail)
        limit = time.monotonic() + 10
        while len(self._jails) and time.monotonic() < limit:
            self._bury_ended()
            time.sleep(0.005)

    def _all(self) -> list[Jail]:
        found, after = [], 0
        while jail := self._jails.after(after):
            found.append(jail)
            after = jail.worker_id
        return found

    def _drain_wake(self) -> None:
        try:
            while self._wake.recv(4096):
                pass
        except BlockingIOError:
            return

    def _accept(self) -> None:
        assert self._control is not None  # noqa: S101 - registered only when set
        sock, _ = self._control.accept()
        operators = [c for c in self._channels.values() if c.session.role is Role.OPERATOR]
        _, uid, _ = _peer(sock)
        if uid not in {0, os.geteuid()} or len(operators) >= _OPERATORS:
            sock.close()
            return
        self.add_channel(sock, Role.OPERATOR)

    def _serve(self, sock: object, requests: Requests) -> None:
        channel = next((c for c in self._channels.values() if c.sock is sock), None)
        if channel is None:
            return  # closed by an earlier event of this step
        try:
            frame, fds = receive_frame(channel.sock)
            close_all(fds)  # clients pass no descriptors
            decoded = decode_message(frame) if frame else None
        except BlockingIOError:
            return
        except IpcError as error:
            self._log.write("channel_broken", role=channel.session.role.value, code=error.code)
            self.close_channel(channel)
            return
        if decoded is None:
            self.close_channel(channel)
            return
        message, request_id = decoded
        reply = dispatch(requests, channel.session, request_id, message)
        if reply.message is None:
            return
        try:
            send_frame(channel.sock, encode_message(reply.message, request_id), reply.fds)
        except (IpcError, BlockingIOError):
            self.close_channel(channel)
        finally:
            close_all(reply.fds)

    def _bury_ended(self) -> list[tuple[Jail, Outcome]]:
        ended: list[tuple[Jail, Outcome]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            jail = self._jails.of_pid(pid)
            if jail is None:
                continue  # a helper of a runtime
            if os.WIFSTOPPED(status):
                # It answers nobody while it is stopped, and holds its memory: the kernel tells us
                # at once, where a deadline would have to wait for the slowest honest answer.
                self._log.write("jail_halted", kind=jail.kind, worker_id=jail.worker_id)
                os.kill(pid, signal.SIGKILL)
                continue
            outcome = self._pen.bury(jail, status)
            self._jails.remove(jail)
            self._log.write(
                "jail_ended", kind=jail.kind, worker_id=jail.worker_id,
                status=outcome.status.value, reason=outcome.reason,
            )  # fmt: skip
            event = WorkerEnded(jail.worker_id, outcome.status.value, outcome.reason)
            self.send(jail.owner, event)
            for identity, request_id in jail.waiters:
                self.send(identity, Done(), request_id)
            ended.append((jail, outcome))
            # One in each step, for it takes a while: in between others are served, and a gateway,
            # which comes first because it is the oldest, is replaced before its workers are buried.
            os.kill(os.getpid(), signal.SIGCHLD)
            return ended


def _peer(sock: socket.socket) -> tuple[int, int, int]:
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, gid = (int.from_bytes(raw[i : i + 4], "little", signed=True) for i in (0, 4, 8))
    return pid, uid, gid
