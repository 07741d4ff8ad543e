"""Kernel interfaces that exploits start from: each call with arguments that can change nothing.

Trust: runs in a jail. Input: trusted constants.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

from corral.selftest.probes.registry import Context, Stopped, probe
from corral.selftest.probes.syscall_unsafe import BAD, call

_NEWUSER: Final = 0x10000000
_TIOCSTI: Final = 0x5412

# id -> (call, arguments). Null pointers, bad descriptors and impossible values throughout.
CALLS: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "kernel.bpf": ("bpf", (0xFFFF, 0, 0)),
    "kernel.perf": ("perf_event_open", (0, 0, -1, -1, 0)),
    "kernel.io-uring": ("io_uring_setup", (0xFFFF, 0)),
    "kernel.userfaultfd": ("userfaultfd", (0xFFFF,)),
    "kernel.keyctl": ("keyctl", (0xFFFF, 0, 0, 0, 0)),
    "kernel.add-key": ("add_key", (0, 0, 0, 0, 0)),
    "kernel.request-key": ("request_key", (0, 0, 0, 0)),
    "kernel.init-module": ("init_module", (0, 0, 0)),
    "kernel.finit-module": ("finit_module", (BAD, 0, 0)),
    "kernel.delete-module": ("delete_module", (0, 0)),
    "kernel.kexec": ("kexec_load", (0, 17, 0, 0)),
    "kernel.reboot": ("reboot", (0, 0, 0, 0)),
    "kernel.swapon": ("swapon", (0, 0)),
    "kernel.settimeofday": ("settimeofday", (BAD, 0)),
    "kernel.clock-settime": ("clock_settime", (0, 0)),
    "kernel.acct": ("acct", (BAD,)),
    "kernel.quotactl": ("quotactl", (0, 0, 0, 0)),
    "kernel.syslog": ("syslog", (99, 0, 0)),
    "kernel.ioperm": ("ioperm", (0xFFFFFF, 1, 1)),
    "kernel.modify-ldt": ("modify_ldt", (99, 0, 0)),
    "kernel.personality": ("personality", (0xFFFFFFFF,)),
    "kernel.memfd-secret": ("memfd_secret", (0xFFFF,)),
    "kernel.fanotify": ("fanotify_init", (0xFFFFFFFF, 0)),
    "kernel.inotify": ("inotify_init1", (0xFFFFFFFF,)),
    "kernel.timer": ("timer_create", (99, 0, 0)),
    "kernel.move-pages": ("move_pages", (0, 1, 0, 0, 0, 0)),
    "kernel.mbind": ("mbind", (1, 0, 99, 0, 0, 0)),
    "kernel.ioprio": ("ioprio_set", (99, 0, 0)),
    "kernel.splice": ("splice", (BAD, 0, BAD, 0, 0, 0)),
    "kernel.vmsplice": ("vmsplice", (BAD, 0, 0, 0)),
    "kernel.tee": ("tee", (BAD, BAD, 0, 0)),
    "kernel.preadv2": ("preadv2", (BAD, 0, 0, 0, 0)),
    "kernel.setxattr": ("setxattr", (0, 0, 0, 0, 0)),
    "kernel.msgget": ("msgget", (0x7FFFFFF0, 0)),
    "kernel.semget": ("semget", (0x7FFFFFF0, 0, 0)),
    "kernel.shmget": ("shmget", (0x7FFFFFF0, 0, 0)),
    "kernel.mq-open": ("mq_open", (0, 0, 0, 0)),
    "kernel.mlockall": ("mlockall", (0xFFFF,)),
    "kernel.mrelease": ("process_mrelease", (BAD, 0)),
    "mount.mount": ("mount", (0, 0, 0, 0, 0)),
    "mount.umount": ("umount2", (0, 0)),
    "mount.pivot-root": ("pivot_root", (0, 0)),
    "mount.chroot": ("chroot", (0,)),
    "mount.move": ("move_mount", (BAD, 0, BAD, 0, 0)),
    "mount.open-tree": ("open_tree", (BAD, 0, 0)),
    "mount.fsopen": ("fsopen", (0, 0)),
    "mount.fsmount": ("fsmount", (BAD, 0, 0)),
    "mount.set-attributes": ("mount_setattr", (BAD, 0, 0, 0, 0)),
    "files.open-by-handle": ("open_by_handle_at", (BAD, 0, 0)),
    "files.name-to-handle": ("name_to_handle_at", (BAD, 0, 0, 0, 0)),
    "namespace.setns": ("setns", (BAD, 0)),
    "dev.mknod": ("mknodat", (BAD, 0, 0, 0)),
}


def _register() -> None:
    for name, (call_name, arguments) in CALLS.items():

        def attack(
            _: Context, call_name: str = call_name, given: tuple[int, ...] = arguments
        ) -> None:
            call(call_name, *given)

        probe(name)(attack)


_register()


@probe("namespace.unshare-user", last=True)
def _unshare(_: Context) -> None:
    call("unshare", _NEWUSER)


@probe("kernel.terminal-input")
def _terminal_input(_: Context) -> None:
    fcntl.ioctl(0, _TIOCSTI, b"\0")


@probe("kernel.hostname")
def _hostname(_: Context) -> None:
    call("sethostname", 0, -1)


@probe("kernel.host-name-seen")
def _host_name(_: Context) -> None:
    if os.uname().nodename == "jail":
        raise Stopped("jail")
