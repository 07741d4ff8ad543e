"""Put the launcher into namespaces of its own: it is PID 1 of all it starts.

Trust: trusted base. The kernel kills every process of a PID namespace when its PID 1 ends, so a
SIGKILL of the launcher at any moment, also in the middle of a start, leaves nothing running; and
mounts vanish with the private mount namespace (docs/adr/0002).

    corral up (monitor, host namespaces) ── corral-launcher (PID 1) ─┬─ corral-gateway
                                                                     ├─ corral-engine …
                                                                     └─ corral-scan …
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

from corral.core.errors import SandboxError
from corral.launcher.capabilities import load_kept
from corral.launcher.notice import tell_manager
from corral.sandbox import linux_unsafe as linux

_FORWARDED: Final = {signal.SIGTERM: signal.SIGTERM, signal.SIGINT: signal.SIGTERM,
                     signal.SIGHUP: signal.SIGHUP}  # fmt: skip
_READY: Final = signal.SIGUSR1
"""Sent to the monitor by `corral up`'s announcer once the server answers. The monitor is the only
process that a service manager believes (`NotifyAccess=main`)."""
_WATCHED: Final = frozenset({*_FORWARDED, signal.SIGCHLD, _READY})


def run_as_pid_one(
    main: Callable[[int, int], int], *, beside: Callable[[], None], on_end: Callable[[], None]
) -> int:
    """Run `main` as PID 1 of a new PID and mount namespace and return its exit code.

    Without root the namespaces hang below a user namespace that maps only our own id.

    Args:
        main: called in the new process with a descriptor of the host's /proc and one that reads
            end-of-file when this monitor has gone.
        beside: called here while `main` starts: what nobody has to wait for.
        on_end: called here after everything in the namespace has ended.

    Raises:
        SandboxError: code `namespaces_refused`.
    """
    host_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    alive_read, alive_write = os.pipe()
    uid, gid = os.geteuid(), os.getegid()
    kept = load_kept("user" if uid else "root")
    try:
        linux.unshare(linux.CLONE_NEWPID | (linux.CLONE_NEWUSER if uid else 0))
    except OSError as error:
        raise SandboxError(
            "namespaces_refused",
            "the kernel refuses new namespaces to this user",
            remedy="run as root, or allow unprivileged user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1 and, on Ubuntu, "
            "kernel.apparmor_restrict_unprivileged_userns=0)",
        ) from error
    if uid:
        _map_only(uid, gid)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    child = os.fork()  # SAFETY: this process has one thread.
    if child == 0:
        os.close(alive_write)
        os._exit(_run_inside(main, host_proc, alive_read, kept))
    os.close(alive_read)
    linux.keep_capabilities(frozenset() if uid else load_kept("monitor"))
    try:
        beside()
        return _monitor(child)
    finally:
        on_end()


def _map_only(uid: int, gid: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(fd, text.encode())
        os.close(fd)


def _run_inside(
    main: Callable[[int, int], int], host_proc: int, alive: int, kept: frozenset[int]
) -> int:
    try:
        os.setsid()
        linux.die_with_parent(signal.SIGKILL)
        linux.set_process_name("corral-launcher")
        linux.forbid_dumps()
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("", "/", "", linux.MS_REC | linux.MS_PRIVATE)
        linux.mount(
            "proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
        )  # fmt: skip
        linux.keep_capabilities(kept)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        return main(host_proc, alive)
    except SystemExit as exit_request:
        return int(exit_request.code or 0)
    except BaseException:  # the last frame before _exit: an error must show and must not return
        import traceback

        traceback.print_exc()
        return 70


def _monitor(child: int) -> int:
    while True:
        number = signal.sigwait(_WATCHED)
        if number == signal.SIGCHLD:
            status = _reap(child)
            if status is not None:
                return abs(os.waitstatus_to_exitcode(status))
        elif number == _READY:
            tell_manager("READY=1")
        else:
            os.kill(child, _FORWARDED[signal.Signals(number)])


def _reap(child: int) -> int | None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return None
        if pid and os.WIFSTOPPED(status):
            # A stopped launcher answers and starts nobody: its end lets a service manager start
            # the next one.
            os.kill(pid, signal.SIGKILL)
        elif pid in {0, child}:
            return status if pid else None
