"""Each rule of each profile: what it allows is denied without it, and only for its arguments."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from corral.sandbox.policy import KINDS, SyscallArg, SyscallRule, load_policy
from tests.security.syscalls.bpf import ACTION_MASK, ALLOW, ERRNO, Call, Program, combine, run
from tests.security.syscalls.libseccomp import compile_filter
from tests.security.syscalls.verdicts import ABIS, named_verdicts, number_of, numbers

ARCH = ABIS["x86_64"][0]
RULES = [(kind, index, name)
         for kind in KINDS
         for index, rule in enumerate(load_policy(kind).syscalls)
         for name in rule.names if rule.machine in {"", "x86_64"}]  # fmt: skip
IDS = [f"{kind}-{name}-{index}" for kind, index, name in RULES]
JAIL_ENTRY_FORBIDS = {"execve"}


@cache
def without(kind: str, index: int, name: str) -> Program:
    """Return the filter of a profile in which one rule does not have this name."""
    rules = list(load_policy(kind).syscalls)
    left = tuple(n for n in rules[index].names if n != name)
    rules[index : index + 1] = [replace(rules[index], names=left)] if left else []
    return compile_filter(tuple(rules))


def satisfies(one: SyscallArg, value: int) -> bool:
    match one.op:
        case "SCMP_CMP_EQ":
            return value == one.value
        case "SCMP_CMP_NE":
            return value != one.value
        case "SCMP_CMP_LT":
            return value < one.value
        case "SCMP_CMP_MASKED_EQ":
            return value & one.value == one.value_two
    raise AssertionError(one.op)


def candidates(one: SyscallArg) -> list[int]:
    """Return arguments near a condition's border, on both of its sides."""
    bits = [1 << bit for bit in range(64) if one.value & 1 << bit]
    near = (
        [one.value_two ^ bit for bit in bits] if one.op == "SCMP_CMP_MASKED_EQ" else [one.value - 1]
    )
    far = [one.value + 1, one.value ^ (1 << 32), one.value ^ (1 << 63), 0xFFFFFFFF, 0]
    return [one.value, one.value_two, *near, *far]


def matching(rule: SyscallRule) -> tuple[int, ...]:
    args = [0] * 6
    for one in rule.args:
        args[one.index] = next(v for v in candidates(one) if satisfies(one, v))
    return tuple(args)


def missing(rule: SyscallRule) -> list[tuple[int, ...]]:
    """Return arguments that miss one condition of the rule each."""
    good = matching(rule)
    return [
        (*good[: one.index], value, *good[one.index + 1 :])
        for one in rule.args
        for value in candidates(one)
        if not satisfies(one, value)
    ]


@pytest.mark.claim("SYS-04")
@pytest.mark.parametrize(("kind", "index", "name"), RULES, ids=IDS)
def test_each_rule_allows_what_is_denied_without_it(kind, index, name, live_filters_of):
    rule = load_policy(kind).syscalls[index]
    number = number_of("x86_64", name)
    call = Call(ARCH, number, matching(rule))
    wanted = ERRNO | rule.errno if rule.errno else ALLOW
    for runtime in ("crun", "runc"):
        filters = live_filters_of[runtime][kind]
        assert run(filters[-1], call) == wanted
        if name not in JAIL_ENTRY_FORBIDS:
            assert combine([run(program, call) for program in filters]) == wanted
        for args in missing(rule):
            other = run(filters[-1], Call(ARCH, number, args))
            assert other & ACTION_MASK == ERRNO or allowed_by_another(kind, index, name, args)
    assert run(without(kind, index, name), call) == ERRNO | 1


def allowed_by_another(kind: str, index: int, name: str, args: tuple[int, ...]) -> bool:
    """Return whether another rule for the same call takes these arguments."""
    rules = load_policy(kind).syscalls
    return any(
        name in rule.names and all(satisfies(a, args[a.index]) for a in rule.args)
        for at, rule in enumerate(rules)
        if at != index
    )


@pytest.mark.claim("SYS-04")
@pytest.mark.parametrize("kind", KINDS)
def test_the_runtimes_compile_exactly_the_profile(kind, live_filters_of):
    """The filter that lacks one rule is made here; with all rules, it is the live one."""
    ours = named_verdicts([compile_filter(load_policy(kind).syscalls)], "x86_64")
    theirs = named_verdicts([live_filters_of["crun"][kind][-1]], "x86_64")
    assert ours == theirs


@pytest.mark.claim("SYS-04")
@pytest.mark.parametrize("kind", KINDS)
def test_rules_of_another_machine_allow_nothing_here(kind, live_filters_of):
    others = {n for r in load_policy(kind).syscalls if r.machine == "aarch64" for n in r.names}
    verdicts = named_verdicts(live_filters_of["crun"][kind], "x86_64")
    assert not {n for n, v in verdicts.items() if v.reachable and numbers("x86_64")[n] in others}
    assert {"faccessat", "ppoll"} <= others


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_of_a_profile_is_a_call_and_stands_in_one_rule(kind):
    """A misspelt name would silently be left out; a second mention would hide an unused one."""
    known = set(numbers("x86_64").values())
    plain = []
    for rule in load_policy(kind).syscalls:
        assert set(rule.names) <= known
        plain += rule.names if not rule.args else []
    assert len(plain) == len(set(plain))
