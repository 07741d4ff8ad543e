"""A small assembler: a list of allowed calls to a classic BPF program for seccomp(2); pure.

Trust: trusted base code; runs in the jail before the model is loaded. Input: our own profile.

A rule has `names` and perhaps `args`, in the words of the OCI runtime spec: its calls are allowed
if every argument's condition holds. Rules of one name are alternatives. Everything else fails with
EPERM; a foreign ABI kills the process; x32 numbers are not on the list, because they carry bit 30.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    Rule = dict[str, Any]

ALLOW: Final = 0x7FFF0000
EPERM: Final = 0x00050001
KILL: Final = 0x80000000

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""linux/audit.h"""
NUMBERS: Final = {
    "x86_64": {
        "read": 0, "write": 1, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "madvise": 28,
        "restart_syscall": 219, "futex": 202, "exit": 60, "exit_group": 231, "clock_nanosleep": 230,
        "clock_gettime": 228, "rseq": 334, "getrandom": 318,
    },
    "aarch64": {
        "read": 63, "write": 64, "mmap": 222, "mprotect": 226, "munmap": 215, "brk": 214,
        "madvise": 233, "restart_syscall": 128, "futex": 98, "exit": 93, "exit_group": 94,
        "clock_nanosleep": 115, "clock_gettime": 113, "rseq": 293, "getrandom": 278,
    },
}  # fmt: skip
"""The syscall tables of Linux, for the calls that a sealed profile may name."""

_LOAD: Final = 0x20
_AND: Final = 0x54
_EQUAL: Final = 0x15
_GIVE: Final = 0x06
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16
_WORD: Final = 0xFFFFFFFF
_EVERY_BIT: Final = (1 << 64) - 1


def compile_filter(rules: list[Rule], machine: str) -> bytes:
    """Return the program that allows what `rules` say, and nothing else.

    Raises:
        KeyError: no table for this machine, a call that is not in it, or an unknown comparison.
    """
    numbers = NUMBERS[machine]
    program = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_EQUAL, _ARCHITECTURES[machine], on_true=1),
        _step(_GIVE, KILL),
        _step(_LOAD, _NUMBER_AT),
    ]
    for name in dict.fromkeys(name for rule in rules for name in rule["names"]):
        body: list[bytes] = []
        for rule in rules:
            if name in rule["names"]:
                body += _alternative(rule.get("args", ()))
        body.append(_step(_GIVE, EPERM))
        program += [_step(_EQUAL, numbers[name], on_false=len(body)), *body]
    program.append(_step(_GIVE, EPERM))
    return b"".join(program)


def _alternative(conditions: list[dict[str, Any]]) -> list[bytes]:
    """Allow the call if every condition holds; else go on behind this piece."""
    steps = [_step(_GIVE, ALLOW)]
    for condition in reversed(conditions):
        first, second = condition["value"], condition.get("value_two", 0)
        mask, value = {
            "SCMP_CMP_EQ": (_EVERY_BIT, first), "SCMP_CMP_MASKED_EQ": (first, second)
        }[condition["op"]]  # fmt: skip
        for shift, offset in ((32, 4), (0, 0)):  # little-endian: the low word comes first
            part = mask >> shift & _WORD
            if part:
                test = [
                    _step(_LOAD, _ARGUMENTS_AT + 8 * condition["index"] + offset),
                    _step(_AND, part),
                    _step(_EQUAL, value >> shift & _WORD, on_false=len(steps)),
                ]
                steps = test + steps
    return steps


def _step(code: int, value: int, *, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, on_true, on_false, value)
