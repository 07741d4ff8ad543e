"""Ask the kernel itself what a set of filters says, without making any call.

The filters are installed in a child. A first instruction lets a call through unless its sixth
argument is a magic number, so that the child can live; and the oldest filter turns "allow" into an
error number of its own, so that no call is carried out.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct

from tests.security.syscalls.bpf import ALLOW, ERRNO, Program, Step

MAGIC = 0x5EEDC0DE
ALLOWED = 4000
"""The error number that stands for: all filters allow it. The kernel itself has none above 133."""
UNFILTERED = {335, 336}
"""uretprobe and uprobe: since Linux 6.14 the kernel asks no filter about these two of its own
trampolines, and ends a process that calls them from anywhere else (kernel/seccomp.c)."""
_ARG5_LOW = 16 + 8 * 5
_GATE = (Step(0x20, 0, 0, _ARG5_LOW), Step(0x15, 1, 0, MAGIC), Step(0x06, 0, 0, ALLOW))


def install(program: Program) -> None:
    """Put a filter on the calling process for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    raw = b"".join(struct.pack("=HBBI", s.code, s.on_true, s.on_false, s.k) for s in program)
    buffer = ctypes.create_string_buffer(raw, len(raw))

    class Wrapped(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    wrapped = Wrapped(len(program), ctypes.addressof(buffer))
    zero = ctypes.c_ulong(0)
    libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero)
    # SAFETY: the kernel copies the program during the call.
    if libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(wrapped), zero, zero):
        raise OSError(ctypes.get_errno(), "the filter was refused")


def kernel_verdicts(filters: list[Program], calls: list[tuple[int, tuple[int, ...]]]) -> list[int]:
    """Return the error number that each call (number, first five arguments) gets."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            install((*_GATE, Step(0x06, 0, 0, ERRNO | ALLOWED)))
            for program in reversed(filters):  # the oldest first
                install((*_GATE, *program))
            answers = []
            for number, args in calls:
                five = [ctypes.c_ulong(a) for a in (*args, 0, 0, 0, 0, 0)[:5]]
                ctypes.set_errno(0)
                libc.syscall(ctypes.c_long(number), *five, ctypes.c_ulong(MAGIC))
                answers.append(ctypes.get_errno())
            os.write(write, json.dumps(answers).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status), f"the child was ended by signal {os.WTERMSIG(status)}"
    return list(json.loads(text))
