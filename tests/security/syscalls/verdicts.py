"""What a process may call: the verdict on every system call number of every calling convention.

The numbers beyond the named ones are covered by intervals: a filter compares a number only with
constants, so between two of them one verdict holds.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from tests.security.syscalls.bpf import (
    ACTION_MASK,
    ALLOW,
    ARCH_OFFSET,
    ERRNO,
    KILL_PROCESS,
    KILL_THREAD,
    NR_OFFSET,
    WORD,
    Program,
    Test,
    Way,
    constants,
    severity,
    verdict_paths,
)

X32_BIT = 0x40000000
ABIS = {"x86_64": (0xC000003E, 0), "i386": (0x40000003, 0), "x32": (0xC000003E, X32_BIT)}
"""Audit architecture, and what is added to the number (linux/audit.h, asm/unistd.h)."""
_NAMES = Path(__file__).with_name("numbers")
_ACTIONS = {ALLOW: "allow", KILL_PROCESS: "kill process", KILL_THREAD: "kill thread"}


@cache
def numbers(abi: str) -> dict[int, str]:
    """Return number -> name (asm/unistd_*.h of Linux 6.1, and the calls added up to 6.18)."""
    lines = (_NAMES / f"{abi}.txt").read_text().splitlines()
    return {int(number): name for number, name in (line.split() for line in lines)}


@cache
def number_of(abi: str, name: str) -> int:
    return next(number for number, known in numbers(abi).items() if known == name)


def action_name(result: int) -> str:
    if result & ACTION_MASK == ERRNO:
        return errno.errorcode.get(result & 0xFFFF, str(result & 0xFFFF))
    return _ACTIONS.get(result & ACTION_MASK, f"{result:#x}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one number.

    Attributes:
        result: what happens when no case applies.
        cases: conditions on the arguments, and what happens under them.
    """

    result: int
    cases: tuple[Way, ...] = ()

    def __str__(self) -> str:
        if not self.cases:
            return action_name(self.result)
        cases = "; ".join(f"{action_name(r)} if {describe(tests)}" for tests, r in self.cases)
        return f"{cases}; else {action_name(self.result)}"

    @property
    def reachable(self) -> bool:
        """Whether some arguments get past the filters."""
        return any(r & ACTION_MASK == ALLOW for r in (self.result, *(r for _, r in self.cases)))


def verdict(filters: list[Program], abi: str, number: int) -> Verdict:
    arch, bit = ABIS[abi]
    return _verdict(tuple(filters), arch, number | bit)


@cache
def _verdict(filters: tuple[Program, ...], arch: int, number: int) -> Verdict:
    ways = verdict_paths(list(filters), arch, number)
    results = {result for _, result in ways}
    if len(results) == 1:
        return Verdict(results.pop())
    strictest = min(results, key=severity)
    cases = [(tests, result) for tests, result in ways if result != strictest]
    return Verdict(strictest, tuple(sorted(cases, key=lambda case: describe(case[0]))))


def describe(tests: Iterable[Test]) -> str:
    """Say conditions on 32-bit words as conditions on arguments.

    A high half that must be zero, and a word that must differ from another case's value, say
    nothing that the reader needs once the word's own value is given.
    """
    tests = list(tests)
    equal = {t.offset for t in tests if t.op == "=="}
    said = []
    for test in sorted(tests, key=lambda t: (t.offset, t.mask, t.op)):
        index, high = divmod(test.offset - 16, 8)
        if high and test.op == "==" and test.value == 0 and test.offset - 4 in equal:
            continue
        halves = {t.offset for t in tests}
        word = f"arg{index}" + (">>32" if high else "" if test.offset + 4 in halves else "[31:0]")
        if test.mask != WORD:
            word = f"{word} & {test.mask:#x}"
        said.append(f"{word} {test.op} {test.value:#x}")
    return " and ".join(said)


def named_verdicts(filters: list[Program], abi: str) -> dict[int, Verdict]:
    return {number: verdict(filters, abi, number) for number in numbers(abi)}


def reachable_names(filters: list[Program]) -> set[str]:
    """Return the names of x86_64 calls that some arguments get past the filters."""
    verdicts = named_verdicts(filters, "x86_64")
    return {numbers("x86_64")[number] for number, v in verdicts.items() if v.reachable}


def ranges(abi: str, *runtimes: list[Program]) -> list[tuple[int, int, tuple[Verdict, ...]]]:
    """Return first and last number, and a verdict for each set of filters, over all 32-bit numbers.

    A number with a name stands alone; others are joined while the verdicts stay the same. x86_64
    and x32 share an architecture: the first has the numbers below bit 30, the second the rest.
    """
    arch, bit = ABIS[abi]
    first, last = {"x86_64": (0, X32_BIT - 1), "i386": (0, WORD), "x32": (X32_BIT, WORD)}[abi]
    named = {number | bit for number in numbers(abi)}
    cuts = {value for filters in runtimes for p in filters for value in constants(p, NR_OFFSET)}
    cuts |= named | {value + 1 for value in named} | {first}
    edges = [*sorted(value for value in cuts if first <= value <= last), last + 1]
    found: list[tuple[int, int, tuple[Verdict, ...]]] = []
    for low, high in pairwise(edges):
        verdicts = tuple(_verdict(tuple(filters), arch, low) for filters in runtimes)
        alone = low in named or (low - 1) in named
        if found and not alone and found[-1][2] == verdicts:
            found[-1] = (found[-1][0], high - 1, verdicts)
        else:
            found.append((low, high - 1, verdicts))
    return found


def foreign_architectures(filters: list[Program]) -> set[str]:
    """Return what happens to any call of any other architecture than this machine's two."""
    known = {arch for arch, _ in ABIS.values()}
    archs = {value for p in filters for value in constants(p, ARCH_OFFSET)} | {0}
    results: set[str] = set()
    for arch in archs - known:
        points = {value for p in filters for value in constants(p, NR_OFFSET)} | {0}
        results |= {str(_verdict(tuple(filters), arch, number)) for number in points}
    return results
