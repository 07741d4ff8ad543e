"""Start, stop and bury jails: joins policy, particulars, runtime, ids and control groups.

Trust: trusted base. Input: typed requests that `launcher.requests` has checked.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corral.ipc.messages import OPERATOR_STOP
from corral.ipc.socket import close_all
from corral.launcher.events import EventLog
from corral.launcher.host import Host
from corral.launcher.host_pid import host_pid_of
from corral.launcher.jails import Jail, JailTable
from corral.launcher.lease import Leases
from corral.launcher.placement import Place, Places
from corral.launcher.sealed import find_flaw, is_ending
from corral.launcher.spawn_unsafe import Stdio, remove_bundle, start_bundle
from corral.launcher.stage import FILE, FOLDER, IMAGES, LAID, hide_file, show_file
from corral.sandbox.oci import Bind, Start, compile_bundle
from corral.sandbox.outcome import Outcome, Status, classify_exit


@dataclass(frozen=True, slots=True)
class JailRequest:
    """One start, checked.

    Attributes:
        file_fd: opened file that the jail may read; -1 for none. Closed by `Pen.start`.
        laid_fd: opened file that is laid over it; likewise.
        beside_fd: opened folder that the jail may read as /quarantine; likewise.
        file_option: how the program is told: `--model` or `--candidate`.
        laid_option: likewise: `--adapter` or `--projector`.
        memory_bytes: 0 for the profile's own.
        trust: trust level of the model; chooses the runtime.
        module: runs in place of the profile's own module, under the same profile.
        tenant: whose worker it is; empty for jails that belong to nobody.
        strict: it shares nothing that `launcher.isolation` can keep apart.
        extra_s: it may live, and compute, this much longer than its profile says.
    """

    kind: str
    args: tuple[str, ...] = ()
    title_suffix: str = ""
    memory_bytes: int = 0
    file_fd: int = -1
    laid_fd: int = -1
    beside_fd: int = -1
    file_option: str = ""
    laid_option: str = ""
    binds: tuple[Bind, ...] = ()
    trust: str = "untrusted"
    module: str = ""
    tenant: str = ""
    strict: bool = False
    extra_s: int = 0


class Pen:
    """All jails of one launcher share its host facts and its numbering."""

    def __init__(self, host: Host, jails: JailTable, host_proc: int, log: EventLog) -> None:
        self.host = host
        self._jails = jails
        self._host_proc = host_proc
        self._log = log
        self._token = os.urandom(4).hex()
        self._places = Places(host.isolation, Leases(host.cgroups))

    def start(self, request: JailRequest, *, owner: int) -> tuple[Jail, tuple[int, int, int]]:
        """Start a jail; return it with our ends of its stdin, stdout and stderr.

        Raises:
            SandboxError: codes `jail_failed`, `too_many_workers`, `no_exclusive_cores`,
                `gpu_in_use`, `isolation_unproven`; nothing is left.
        """
        pipes: list[int] = []
        try:
            worker_id = self._jails.reserve()
            for _ in range(3):
                pipes += os.pipe()
            stdin, to_stdin, from_stdout, stdout, from_stderr, stderr = pipes
            jail = self._start(request, worker_id, owner, Stdio(stdin, stdout, stderr), ())
        except BaseException:
            close_all(pipes)
            raise
        finally:
            opened = (request.file_fd, request.laid_fd, request.beside_fd)
            close_all([fd for fd in opened if fd >= 0])
        close_all((stdin, stdout, stderr))
        return jail, (to_stdin, from_stdout, from_stderr)

    def start_gateway(
        self, *, listener: int, channel: int, log: int, state: Path, owner: int
    ) -> Jail:
        """Start the gateway: descriptor 3 is the listener, 4 the channel to us."""
        self.give_to("gateway", state, *state.iterdir())
        binds = (Bind(str(state), "/state", writable=True),)
        request = JailRequest(kind="gateway", binds=binds)
        with Path(os.devnull).open("r+b", buffering=0) as null:
            stdio = Stdio(null.fileno(), log, log)
            return self._start(request, self._jails.reserve(), owner, stdio, (listener, channel))

    def give_to(self, kind: str, *paths: Path) -> None:
        """Make files the property of the jails of one kind."""
        uid = self.host.uid_for(kind, 0)
        for path in paths:
            os.chown(path, uid, uid, follow_symlinks=False)

    def kill(self, jail: Jail) -> None:
        """Send SIGKILL; the pid cannot have been reused, because only we reap it."""
        jail.stopped_by_us = True
        os.kill(jail.pid, signal.SIGKILL)

    def expire(self, jail: Jail) -> None:
        """Kill a jail whose time is over."""
        jail.timed_out = True
        os.kill(jail.pid, signal.SIGKILL)

    def confirm(self, jail: Jail) -> bool:
        """Look whether a worker that says so is sealed; kill it if it is not."""
        jail.confirmed = True
        opaque = self.host.runtime_for(jail.kind, jail.trust).tier != "namespaces"
        flaw = find_flaw(jail.pid, opaque=opaque)
        if flaw:
            jail.unsealed = not is_ending(jail.pid)
            if jail.unsealed:
                self._log.write("worker_not_sealed", worker_id=jail.worker_id, detail=flaw)
            os.kill(jail.pid, signal.SIGKILL)
        return not flaw

    def weigh(self, jail: Jail, percent: int) -> None:
        """Give a jail so much of its profile's weight against others."""
        if jail.cgroup_path:
            shares = self.host.policies[jail.kind].cpu_shares
            self.host.cgroups.weigh(jail.cgroup_path, max(2, shares * percent // 100))

    def bury(self, jail: Jail, wait_status: int) -> Outcome:
        """Remove what is left of a jail whose first process was just reaped."""
        host = self.host
        outcome = classify_exit(
            wait_status,
            stopped_by_us=jail.stopped_by_us,
            timed_out=jail.timed_out,
            out_of_memory=bool(jail.cgroup_path) and host.cgroups.out_of_memory(jail.cgroup_path),
            unsealed=jail.unsealed,
        )
        if jail.stopped_by_operator and outcome.status is Status.KILLED:
            outcome = Outcome(Status.KILLED, OPERATOR_STOP)
        runtime = host.runtime_for(jail.kind, jail.trust)
        remove_bundle(runtime, jail.name, host.cgroups, jail.cgroup_path)
        hide_file(jail.name)
        jail.place.leave()
        return outcome

    @staticmethod
    def resident_bytes(jail: Jail) -> int:
        """Return the resident set of a jail's first process."""
        try:
            pages = int(Path(f"/proc/{jail.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _start(
        self, request: JailRequest, worker_id: int, owner: int, stdio: Stdio, fds: Sequence[int]
    ) -> Jail:
        host, kind = self.host, request.kind
        policy = host.policies[kind].stretched(request.extra_s)
        runtime = host.runtime_for(kind, request.trust)
        # gVisor of 2022 makes an abstract socket of this name, which all launchers' jobs share.
        name = f"{kind}-{worker_id}-{self._token}"
        cgroup_path = f"{host.cgroup_base}/{name}" if host.cgroup_base else ""
        args, binds, extra = request.args, request.binds, list(fds)
        memory = request.memory_bytes or policy.memory_bytes
        pid, place = 0, Place()
        try:
            self._places.fill(place, request.tenant, cgroup_path, strict=request.strict)
            for fd, option, ending in (
                (request.file_fd, request.file_option, FILE),
                (request.laid_fd, request.laid_option, LAID),
            ):
                if fd < 0:
                    continue
                if runtime.passes_fds:
                    inside = f"/proc/self/fd/{3 + len(extra)}"
                    extra.append(fd)
                else:
                    inside = f"/{option.removeprefix('--')}"
                    binds = (*binds, Bind(show_file(name, fd, ending), inside))
                args = (*args, option, inside)
            if request.beside_fd >= 0:
                shown = show_file(name, request.beside_fd, FOLDER)
                binds = (*binds, Bind(shown, "/quarantine"))
            # gVisor's sentry answers for itself; what it inherited from us holds for it as a whole.
            if request.strict and host.isolation.required and runtime.tier == "namespaces":
                args = (*args, f"--require={','.join(host.isolation.required)}")
            document = compile_bundle(
                replace(policy, module=request.module or policy.module),
                Start(
                    rootfs=str(IMAGES / kind), title_suffix=request.title_suffix,
                    args=(*args, *(f"--degraded={d}" for d in host.degraded)),
                    host_uid=host.uid_for(kind, worker_id), cgroup_path=cgroup_path,
                    memory_bytes=memory, binds=binds,
                    gvisor=runtime.tier == "gvisor", cpus=place.cpus,
                    no_swap=host.isolation.no_swap, edits=place.edits,
                ),
            )  # fmt: skip
            pid = start_bundle(
                runtime, name, document, stdio, extra, host.cgroups, cgroup_path, self._log,
                own_core=request.strict and host.isolation.cookies,
            )  # fmt: skip
            place.prove(pid)
        except BaseException:
            hide_file(name)
            if pid:
                os.kill(pid, signal.SIGKILL)
                remove_bundle(runtime, name, host.cgroups, cgroup_path)
            place.leave()
            raise
        return Jail(
            worker_id=worker_id, kind=kind, name=name, pid=pid,
            host_pid=host_pid_of(self._host_proc, pid), owner=owner, trust=request.trust,
            cgroup_path=cgroup_path,
            deadline=time.monotonic() + policy.deadline_s if policy.deadline_s else None,
            place=place,
        )  # fmt: skip
