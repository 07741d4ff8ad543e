"""Classic BPF as seccomp uses it: run a program on one call, or find every way through it.

`run` is a plain interpreter. `paths` keeps the arguments of the call unknown and follows both sides
of each test on them, so that what it returns holds for every value of every argument.

Sources: linux/Documentation/userspace-api/seccomp_filter.rst, kernel/seccomp.c
(seccomp_run_filters: which of several verdicts counts), linux/filter.h, linux/bpf_common.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ALLOW, LOG, TRACE, NOTIFY, ERRNO, TRAP, KILL_THREAD, KILL_PROCESS = (
    0x7FFF0000, 0x7FFC0000, 0x7FF00000, 0x7FC00000, 0x00050000, 0x00030000, 0, 0x80000000,
)  # fmt: skip
ACTION_MASK = 0xFFFF0000
NR_OFFSET, ARCH_OFFSET = 0, 4
WORD = 0xFFFFFFFF
_HIGH_BITS = {1 << bit for bit in range(28, 32)}
_TESTS = {0x10: "==", 0x20: ">", 0x30: ">=", 0x40: "&"}
_OPPOSITES = {"==": "!=", ">": "<=", ">=": "<", "&": "!&"}
_ALU = {
    0x00: lambda a, k: a + k, 0x10: lambda a, k: a - k, 0x20: lambda a, k: a * k,
    0x30: lambda a, k: a // k, 0x40: lambda a, k: a | k, 0x50: lambda a, k: a & k,
    0x60: lambda a, k: a << k, 0x70: lambda a, k: a >> k, 0x80: lambda a, k: -a,
    0xA0: lambda a, k: a ^ k,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction (struct sock_filter)."""

    code: int
    on_true: int
    on_false: int
    k: int


Program = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """What the kernel shows to a filter (struct seccomp_data)."""

    arch: int
    number: int
    args: tuple[int, ...] = (0,) * 6
    address: int = 0

    def word(self, offset: int) -> int:
        if offset % 4 or not 0 <= offset < 64:
            raise ValueError(f"a load at {offset}")
        args = [a & 0xFFFFFFFFFFFFFFFF for a in (*self.args, 0, 0, 0, 0, 0, 0)[:6]]
        data = struct.pack("<IIQ6Q", self.number, self.arch, self.address, *args)
        return int(struct.unpack_from("<I", data, offset)[0])


@dataclass(frozen=True, slots=True)
class Test:
    """One condition on 32 bits of the call: `word[offset] & mask OP value`."""

    __test__ = False  # no test class of pytest
    offset: int
    mask: int
    op: str
    value: int


Way = tuple[tuple[Test, ...], int]
"""Conditions that all hold, and what is then returned."""


def parse(raw: bytes) -> Program:
    """Return the instructions of a dumped filter."""
    return tuple(Step(*struct.unpack_from("=HBBI", raw, at)) for at in range(0, len(raw), 8))


def holds(op: str, a: int, k: int) -> bool:
    return {
        "==": a == k, "!=": a != k, ">": a > k, "<=": a <= k, ">=": a >= k, "<": a < k,
        "&": a & k != 0, "!&": a & k == 0,
    }[op]  # fmt: skip


def run(program: Program, call: Call) -> int:
    """Return what one filter returns for one call: action and its 16 bits of data."""
    a = x = at = 0
    memory = [0] * 16
    while True:
        step = program[at]
        at += 1
        operand = x if step.code & 0x08 else step.k
        match step.code & 0x07:
            case 0x00:
                a = _load(step, call, memory)
            case 0x01:
                x = _load(step, call, memory)
            case 0x02 | 0x03:
                memory[step.k] = x if step.code & 0x01 else a
            case 0x04:
                a = _ALU[step.code & 0xF0](a, operand) & WORD
            case 0x05 if step.code & 0xF0 == 0:
                at += step.k
            case 0x05:
                jump = holds(_TESTS[step.code & 0xF0], a, operand)
                at += step.on_true if jump else step.on_false
            case 0x06:
                return a if step.code & 0x18 == 0x10 else step.k
            case _:
                a, x = (x, x) if step.code & 0x80 else (a, a)


def _load(step: Step, call: Call, memory: list[int]) -> int:
    match step.code & 0xE0:
        case 0x00:
            return step.k
        case 0x20:
            return call.word(step.k)
        case 0x60:
            return memory[step.k]
        case _:
            return 64  # the length of struct seccomp_data


def paths(program: Program, arch: int, number: int) -> Iterator[Way]:
    """Yield every way through a filter for one call number, whatever its arguments are.

    Raises:
        NotImplementedError: an instruction that makes the result depend on the arguments in another
            way than masks and comparisons with constants.
    """
    todo: list[tuple[int, int | tuple[int, int], tuple[Test, ...]]] = [(0, 0, ())]
    while todo:
        at, a, tests = todo.pop()
        step = program[at]
        at += 1
        code = step.code
        if code == 0x20:
            known = {NR_OFFSET: number, ARCH_OFFSET: arch}
            a = known.get(step.k, (step.k, WORD))
            todo.append((at, a, tests))
        elif code == 0x54 and isinstance(a, tuple):
            todo.append((at, (a[0], a[1] & step.k), tests))
        elif code == 0x54:
            todo.append((at, a & step.k, tests))
        elif code == 0x05:
            todo.append((at + step.k, a, tests))
        elif code == 0x06:
            yield tests, step.k
        elif code & 0x0F == 0x05 and isinstance(a, int):
            jump = holds(_TESTS[code & 0xF0], a, step.k)
            todo.append((at + (step.on_true if jump else step.on_false), a, tests))
        elif code & 0x0F == 0x05 and isinstance(a, tuple):
            op = _TESTS[code & 0xF0]
            for name, jump in ((_OPPOSITES[op], step.on_false), (op, step.on_true)):
                more = _with(tests, Test(*a, name, step.k))
                if more is not None:
                    todo.append((at + jump, a, more))
        else:
            raise NotImplementedError(f"instruction {code:#x} in a filter")


def _with(tests: tuple[Test, ...], new: Test) -> tuple[Test, ...] | None:
    """Add a condition; None if the conditions then contradict each other."""
    if new in tests:
        return tests
    if new.mask == 0:
        return tests if holds(new.op, 0, new.value) else None
    for old in tests:
        if (old.offset, old.mask, old.op) == (new.offset, new.mask, "=="):
            return tests if holds(new.op, old.value, new.value) else None
        if (old.offset, old.mask, old.value) == (new.offset, new.mask, new.value) and (
            _OPPOSITES.get(old.op) == new.op or _OPPOSITES.get(new.op) == old.op
        ):
            return None
    if new.op == "==":
        if any((o.offset, o.mask) == (new.offset, new.mask) and not holds(o.op, new.value, o.value)
               for o in tests):  # fmt: skip
            return None
        tests = tuple(o for o in tests if (o.offset, o.mask) != (new.offset, new.mask))
    more = (*tests, new)
    return (
        more
        if _possible([o for o in more if (o.offset, o.mask) == (new.offset, new.mask)])
        else None
    )


def _possible(tests: list[Test]) -> bool:
    """Return whether some value of one word can meet the comparisons of its size."""
    low, high = 0, tests[0].mask
    for test in tests:
        match test.op:
            case ">" | ">=":
                low = max(low, test.value + (test.op == ">"))
            case "<" | "<=":
                high = min(high, test.value - (test.op == "<"))
    excluded = {test.value for test in tests if test.op == "!="}
    while low in excluded:
        low += 1
    return low <= high


def severity(result: int) -> int:
    """Return the order in which the kernel prefers actions: the least wins."""
    action = result & ACTION_MASK
    return action - (1 << 32) if action & 0x80000000 else action


def combine(newest_first: list[int]) -> int:
    """Return the verdict of several filters on one call, as seccomp_run_filters() does."""
    kept = ALLOW
    for result in newest_first:
        if severity(result) < severity(kept):
            kept = result
    return kept


def verdict_paths(filters: list[Program], arch: int, number: int) -> list[Way]:
    """Return every way through all filters of a process (newest first), combined."""
    kept: list[tuple[tuple[Test, ...], list[int]]] = [((), [])]
    for program in filters:
        step: list[tuple[tuple[Test, ...], list[int]]] = []
        for tests, results in kept:
            for more, result in paths(program, arch, number):
                joined: tuple[Test, ...] | None = tests
                for test in more:
                    joined = _with(joined, test) if joined is not None else None
                if joined is not None:
                    step.append((joined, [*results, result]))
        kept = step
    return [(tests, combine(results)) for tests, results in kept]


def constants(program: Program, offset: int) -> set[int]:
    """Return what the word at `offset` is compared with; between two of them nothing changes.

    Raises:
        NotImplementedError: low bits of this word are tested: its values form no few ranges.
    """
    found: set[int] = set()
    todo, seen = [(0, -1)], set()
    while todo:
        at, loaded = todo.pop()
        if (at, loaded) in seen:
            continue
        seen.add((at, loaded))
        step = program[at]
        if step.code == 0x20:
            todo.append((at + 1, step.k))
        elif step.code == 0x06:
            continue
        elif step.code == 0x05:
            todo.append((at + 1 + step.k, loaded))
        elif step.code & 0x0F == 0x05:
            if loaded == offset:
                if step.code & 0xF0 != 0x40:
                    found |= {step.k, step.k + 1}
                elif step.k in _HIGH_BITS:
                    found |= set(range(0, WORD, step.k))
                else:
                    raise NotImplementedError("low bits of a number are tested")
            todo += [(at + 1 + step.on_true, loaded), (at + 1 + step.on_false, loaded)]
        elif step.code == 0x54 and loaded != offset:
            todo.append((at + 1, loaded))
        else:
            raise NotImplementedError(f"instruction {step.code:#x} on word {loaded}")
    return {value for value in found if value <= WORD}
