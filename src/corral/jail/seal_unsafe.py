"""The walls a worker puts up around itself: Landlock for its files, a last filter for its calls.

Trust: trusted base code in the jail; called by a worker before it loads a model and after. Every
failure raises. Neither wall can be taken down again by anybody.

Sources: landlock(7), seccomp(2) (SECCOMP_FILTER_FLAG_TSYNC), linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

READ_FILE: Final = 1 << 2
"""Landlock: open a file for reading."""

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_PATH_BENEATH: Final = 1
_VERSION: Final = 1
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
"""Rights of the file system by Landlock's version; 16 from version 5 on."""
_NET: Final = 3
"""Bind and connect of TCP, from version 4 on."""
_SCOPES: Final = 3
"""Abstract Unix sockets and signals outside this domain, from version 6 on."""
_EVERY_THREAD: Final = 1 << 3
"""LANDLOCK_RESTRICT_SELF_TSYNC: also the threads that are there already, from version 8 on (Linux
7.0)."""

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER: Final = 1
_TSYNC: Final = 1

_libc: Final = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """Return the kernel's Landlock ABI version; 0 if it has none."""
    try:
        # SAFETY: a null pointer of size 0 asks for the version; nothing is written.
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION))
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EOPNOTSUPP}:
            return 0
        raise


def restrict_files(allowed: list[tuple[str, int]]) -> None:
    """Forbid every use of files but `allowed`, TCP, and signals and sockets to the outside.

    It holds on top of what was restricted before: for every thread of this process from Landlock's
    version 8 on, before that for the calling one and those that it makes from now on.

    Args:
        allowed: paths, and what may be done with them or beneath them.

    Raises:
        OSError: the kernel refused, or has no Landlock.
    """
    version = landlock_version()
    fields = [(1 << _RIGHTS.get(version, 16)) - 1]
    fields += [_NET] if version >= 4 else []
    fields += [_SCOPES] if version >= 6 else []
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    # SAFETY: the kernel copies as many bytes as it is told, from an object that outlives the call.
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    try:
        for path, rights in allowed:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = struct.pack("=Qi", rights, place)  # packed in the kernel's header too
                # SAFETY: as above; the kernel knows the size of a rule by its type.
                _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule,
                      ctypes.c_uint(0))  # fmt: skip
            finally:
                os.close(place)
        flags = _EVERY_THREAD if version >= 8 else 0
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(flags))
    finally:
        os.close(ruleset)


def install_filter(program: bytes) -> None:
    """Install a seccomp filter in every thread of this process at once.

    Raises:
        OSError: the kernel refused, or a thread could not take it over.
    """
    buffer = ctypes.create_string_buffer(program, len(program))

    class _Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    wrapped = _Program(len(program) // 8, ctypes.addressof(buffer))
    number = _SECCOMP[os.uname().machine]
    # SAFETY: the kernel copies the program during the call; `buffer` and `wrapped` outlive it.
    stranger = _call(
        number, ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_TSYNC), ctypes.byref(wrapped)
    )
    if stranger:
        raise OSError(errno.ESRCH, "a thread did not take the filter over")


def end_listeners(fds: list[int]) -> int:
    """Shut sockets down, so that threads that wait at them return; see shutdown(2).

    Returns:
        how many were: gVisor cannot, and leaves the thread asleep at a socket without a name.

    Raises:
        OSError: one is no socket.
    """
    ended = 0
    for fd in fds:
        # SAFETY: plain integers.
        if _libc.shutdown(fd, 2) == 0:
            ended += 1
        elif ctypes.get_errno() != errno.ENOTCONN:
            raise OSError(ctypes.get_errno(), "shutdown")
    return ended


def _call(number: int, *arguments: object) -> int:
    # SAFETY: the callers above give each system call the types that it takes.
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"system call {number} was refused")
    return result
