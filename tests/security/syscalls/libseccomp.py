"""Compile a profile with libseccomp, the library that crun and runc compile it with.

A filter made here lacks one rule at will, which no runtime would start with. That it is otherwise
the runtime's own is tested against the live one.
"""

from __future__ import annotations

import ctypes
import os

from corral.sandbox.oci import compile_seccomp
from corral.sandbox.policy import SyscallRule
from tests.security.syscalls.bpf import ALLOW, ERRNO, Program, parse

_OPERATORS = {"SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}


class _Condition(ctypes.Structure):
    """struct scmp_arg_cmp (seccomp.h)."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))  # fmt: skip


def compile_filter(rules: tuple[SyscallRule, ...]) -> Program:
    """Return the BPF of a list of rules for x86_64, as the runtimes compile it."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    document = compile_seccomp(rules, "x86_64")
    context = ctypes.c_void_p(library.seccomp_init(ERRNO | document["defaultErrnoRet"]))
    try:
        for entry in document["syscalls"]:
            allowed = entry["action"] == "SCMP_ACT_ALLOW"
            action = ALLOW if allowed else ERRNO | entry["errnoRet"]
            for name in entry["names"]:
                number = library.seccomp_syscall_resolve_name(name.encode())
                if number == -1:
                    continue  # the runtimes, too, leave out a name that the library does not know
                given = [
                    _Condition(a["index"], _OPERATORS[a["op"]], a["value"], a["valueTwo"])
                    for a in entry.get("args", ())
                ]
                conditions = (_Condition * len(given))(*given)
                error = library.seccomp_rule_add_array(
                    context, ctypes.c_uint32(action), number, len(given), conditions
                )
                assert error == 0, (name, os.strerror(-error))
        fd = os.memfd_create("filter")
        try:
            assert library.seccomp_export_bpf(context, fd) == 0
            return parse(os.pread(fd, 1 << 20, 0))
        finally:
            os.close(fd)
    finally:
        library.seccomp_release(context)
