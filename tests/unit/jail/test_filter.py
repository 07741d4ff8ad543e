"""The sealed profile's program, evaluated: what each rule allows, and what it denies."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.jail.filter import ALLOW, EPERM, KILL, NUMBERS, compile_filter
from corral.sandbox.policy import sealed_document

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = sorted(ARCH)
RULES = [
    {**rule, "names": [name]}
    for rule in json.loads(sealed_document("engine"))
    for name in rule["names"]
]
PROGRAMS = {machine: compile_filter(RULES, machine) for machine in MACHINES}
EXEC, ANONYMOUS, PRIVATE = 4, 0x20, 2

SAMPLES: list[tuple[str, list[int], list[int]]] = [
    # One line for each rule: the call, arguments that it allows, near ones that are denied.
    ("read", [0, 1 << 40, 9], [3]),
    ("write", [1, 1 << 40, 9], [3]),
    ("write", [2, 1 << 40, 9], [1 << 32 | 2]),
    ("futex", [1, 0x180, 0], [1, 6, 0]),  # FUTEX_LOCK_PI
    ("futex", [1, 0x81, 0], [1, 0x83, 0]),  # FUTEX_REQUEUE
    ("futex", [1, 0x189, 0], [1, 0x18B, 0]),  # FUTEX_WAIT_REQUEUE_PI
    ("mmap", [0, 4096, 3, PRIVATE | ANONYMOUS], [0, 4096, 3 | EXEC, PRIVATE | ANONYMOUS]),
    ("mprotect", [0, 4096, 3], [0, 4096, 1 | EXEC]),
    ("madvise", [0, 4096, 4], [0, 4096, 14]),  # MADV_HUGEPAGE
    ("munmap", [0, 4096], []),
    ("brk", [0], []),
    ("getrandom", [1 << 40, 16, 4], [1 << 40, 16, 2]),  # GRND_RANDOM
    ("clock_nanosleep", [1, 1], []),
    ("clock_gettime", [1], []),
    ("restart_syscall", [], []),
    ("exit_group", [0], []),
    ("exit", [0], []),
    ("rseq", [1 << 40, 32, 0], [1 << 40, 32, 1]),  # RSEQ_FLAG_UNREGISTER
]


def evaluate(program: bytes, number: int, arch: int, arguments: list[int]) -> int:
    """Run a classic BPF program on one system call, as the kernel does."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6])
    steps = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        code, on_true, on_false, value = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:
            accumulator &= value
        elif code == 0x15:
            at += on_true if accumulator == value else on_false
        else:
            assert code == 0x06
            return value


def verdict(machine: str, name: str, arguments: list[int]) -> int:
    return evaluate(PROGRAMS[machine], NUMBERS[machine][name], ARCH[machine], arguments)


@pytest.mark.claim("SEAL-02")
def test_at_most_16_calls_are_reachable() -> None:
    names = {name for rule in RULES for name in rule["names"]}
    assert len(names) <= 16
    for machine in MACHINES:
        allowed = {
            number
            for number in range(1024)
            if any(
                evaluate(PROGRAMS[machine], number, ARCH[machine], sample) == ALLOW
                for _, sample, _ in SAMPLES
            )
        }
        assert allowed == {NUMBERS[machine][name] for name in names}


@pytest.mark.claim("SEAL-02")
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("index", range(len(SAMPLES)))
def test_each_rule_allows_and_denies(machine: str, index: int) -> None:
    name, allowed, denied = SAMPLES[index]
    assert RULES[index]["names"] == [name], "one sample for each rule, in its order"
    assert verdict(machine, name, allowed) == ALLOW
    if RULES[index].get("args"):
        assert verdict(machine, name, denied) == EPERM
    # Without this rule, its sample is denied: no other rule makes it superfluous.
    without = compile_filter(RULES[:index] + RULES[index + 1 :], machine)
    assert evaluate(without, NUMBERS[machine][name], ARCH[machine], allowed) == EPERM


def test_every_rule_has_a_sample() -> None:
    assert len(SAMPLES) == len(RULES)


@pytest.mark.claim("SEAL-02")
@given(st.sampled_from(MACHINES), st.lists(st.integers(0, (1 << 64) - 1), min_size=6, max_size=6))
def test_no_memory_becomes_code_and_no_file_is_mapped(machine: str, arguments: list[int]) -> None:
    for name in ("mmap", "mprotect"):
        code = [*arguments[:2], arguments[2] | EXEC, *arguments[3:]]
        assert verdict(machine, name, code) == EPERM
    of_file = [*arguments[:3], arguments[3] & ~ANONYMOUS, *arguments[4:]]
    assert verdict(machine, "mmap", of_file) == EPERM


@pytest.mark.claim("SEAL-02")
@given(st.sampled_from(MACHINES), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_a_foreign_abi_is_killed(machine: str, number: int, arch: int) -> None:
    if arch != ARCH[machine]:
        assert evaluate(PROGRAMS[machine], number, arch, []) == KILL
    assert evaluate(PROGRAMS[machine], number | 0x40000000, ARCH[machine], []) == EPERM  # x32


def test_the_rules_that_are_read_are_the_ones_that_are_compiled() -> None:
    whole = compile_filter(json.loads(sealed_document("engine")), "x86_64")
    assert whole == PROGRAMS["x86_64"]
    assert json.loads(sealed_document("scan")) == []


def test_every_rule_has_a_reason() -> None:
    assert all(rule["why"].strip() and rule["names"] for rule in RULES)


def test_an_unknown_machine_or_call() -> None:
    with pytest.raises(KeyError):
        compile_filter(RULES, "riscv64")
    with pytest.raises(KeyError):
        compile_filter([{"names": ["execve"]}], "x86_64")
    with pytest.raises(KeyError):
        compile_filter(
            [{"names": ["read"], "args": [{"index": 0, "value": 0, "op": "<"}]}], "x86_64"
        )
