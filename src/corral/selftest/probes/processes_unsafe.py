"""Making, running, tracing and signalling processes.

Trust: runs in a jail. Input: `Context`. The only foreign process that is touched is the selftest's
own victim; a child that could be made ends at once.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal

from corral.selftest.probes.registry import Context, Stopped, no_result, probe
from corral.selftest.probes.syscall_unsafe import BAD, LIBC, call, call_number, number_of

_CLONE_VM = 0x00000100
_CLONE_THREAD = 0x00010000
_CLONE_NEWUSER = 0x10000000
_SEIZE, _DETACH = 0x4206, 17
_X32 = 0x40000000
_PROCESSES = 300
_STACK_BYTES = 16 << 10
_SECONDS = 20
_INTERPRETER = "/opt/python/bin/python3"
_LOADER = "/lib64/ld-linux-x86-64.so.2"


@probe("process.fork")
def _fork(_: Context) -> None:
    # SAFETY: the child leaves at once by _exit.
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    with no_result():  # a filter may refuse the wait alone
        os.waitpid(pid, 0)


@probe("process.clone-user-namespace")
def _clone(_: Context) -> None:
    # CLONE_THREAD without CLONE_SIGHAND is nonsense: a kernel that is reached says EINVAL.
    call("clone", _CLONE_NEWUSER | _CLONE_THREAD, 0, 0, 0, 0)


@probe("process.clone3")
def _clone3(_: Context) -> None:
    call("clone3", 0, 0)


@probe("process.vfork", alone=True)
def _vfork(_: Context) -> None:
    # By hand, the child runs on this very stack and heap: it says that it lives, and neither it nor
    # what it leaves of its parent goes on.
    number = number_of("vfork")
    if call_number(number) == 0:
        os.write(1, b'{"id": "process.vfork", "outcome": "ok"}\n')
    os._exit(0)


@probe("process.exec")
def _exec(_: Context) -> None:
    os.execv("/nonexistent/program", ["program"])


@probe("process.exec-interpreter", last=True)
def _exec_interpreter(context: Context) -> None:
    program = context.at(_INTERPRETER)
    os.execv(program, [program, *_said("process.exec-interpreter")])


@probe("process.exec-loader", last=True)
def _exec_loader(context: Context) -> None:
    os.execv(_LOADER, ["ld.so", context.at(_INTERPRETER), *_said("process.exec-loader")])


def _said(name: str) -> list[str]:
    line = json.dumps({"id": name, "outcome": "ok"}) + "\n"
    return ["-I", "-S", "-c", f"import os; os.write(1, {line.encode()!r})"]


@probe("process.exec-descriptor")
def _execveat(_: Context) -> None:
    call("execveat", BAD, 0, 0, 0, 0xFFFF)


@probe("process.memfd")
def _memfd(_: Context) -> None:
    os.close(os.memfd_create("probe"))


@probe("process.signal")
def _signal(context: Context) -> None:
    os.kill(context.victim, 0)


@probe("process.signal-thread")
def _signal_thread(context: Context) -> None:
    # tgkill is allowed for abort(): here the process namespace is what stands in the way.
    call("tgkill", context.victim, context.victim, 0)


@probe("process.signal-all")
def _signal_all(_: Context) -> None:
    os.kill(-1, 0)  # nothing is sent: signal 0 asks whether it may be


@probe("process.see-others")
def _see(context: Context) -> None:
    mine = str(os.getpid())
    if not [name for name in os.listdir("/proc") if name.isdecimal() and name != mine]:
        raise Stopped("alone")


@probe("process.first")
def _first(_: Context) -> None:
    if os.getpid() == 1:
        raise Stopped("pid-1")


@probe("process.ptrace")
def _ptrace(context: Context) -> None:
    call("ptrace", _SEIZE, context.victim, 0, 0)


@probe("process.read-memory")
def _read_memory(context: Context) -> None:
    call("process_vm_readv", context.victim, 0, 0, 0, 0, 0)


@probe("process.write-memory")
def _write_memory(context: Context) -> None:
    call("process_vm_writev", context.victim, 0, 0, 0, 0, 0)


@probe("process.pidfd-open")
def _pidfd_open(context: Context) -> None:
    os.close(call("pidfd_open", context.victim, 0))


@probe("process.pidfd-getfd")
def _pidfd_getfd(_: Context) -> None:
    call("pidfd_getfd", BAD, 0, 0)


@probe("process.pidfd-signal")
def _pidfd_signal(_: Context) -> None:
    call("pidfd_send_signal", BAD, 0, 0, 0)


@probe("process.kcmp")
def _kcmp(context: Context) -> None:
    call("kcmp", context.victim, context.victim, 99, 0, 0)


@probe("process.own-memory-file")
def _own_memory(_: Context) -> None:
    # CVE-2016-5195 (Dirty COW) wrote through this file.
    os.close(os.open("/proc/self/mem", os.O_RDWR))


@probe("process.madvise-others")
def _madvise(_: Context) -> None:
    call("process_madvise", BAD, 0, 0, 0, 0, 0)


@probe("process.priority")
def _priority(_: Context) -> None:
    call("setpriority", 99, 0, 0)


@probe("process.scheduler")
def _scheduler(_: Context) -> None:
    call("sched_setscheduler", 0, 99, 0)


@probe("process.foreign-abi", alone=True)
def _foreign_abi(_: Context) -> None:
    # An x32 number of getpid: a filter that looks at numbers only would not know it.
    call_number(_X32 | number_of("getpid"))


@probe("resource.processes", alone=True)
def _processes(_: Context) -> None:
    # SAFETY: each child runs sleep(3) on a stack of its own in memory that outlives it, and no
    # Python: a copy of this program for each would need more than the jail has. What is made is
    # bounded, killed below, and ends by itself.
    stacks = mmap.mmap(-1, _PROCESSES * _STACK_BYTES)
    bottom = ctypes.addressof(ctypes.c_char.from_buffer(stacks))
    made: list[int] = []
    try:
        for number in range(1, _PROCESSES + 1):
            ctypes.set_errno(0)
            top = ctypes.c_void_p(bottom + number * _STACK_BYTES)
            pid = int(LIBC.clone(LIBC.sleep, top, _CLONE_VM | signal.SIGCHLD, _SECONDS))
            if pid == -1:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
            made.append(pid)
    finally:
        for pid in made:
            os.kill(pid, signal.SIGKILL)
        for pid in made:
            os.waitpid(pid, 0)
