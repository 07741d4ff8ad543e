"""The filter's program, evaluated; and the locks, taken by real children."""

from __future__ import annotations

import errno
import os
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.jail.lockdown_unsafe import exec_filter, forbid_file_growth, lock_process
from tests.support.kernel_refusals import in_restricted_child

ALLOW, EPERM, KILL = 0x7FFF0000, 0x00050001, 0x80000000
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
EXEC = {"x86_64": {59, 322}, "aarch64": {221, 281}}
PR_SET_MDWE, PR_SET_SECCOMP, PR_SET_DUMPABLE = 65, 22, 4
MACHINES = st.sampled_from(sorted(ARCH))


def evaluate(program: bytes, number: int, arch: int) -> int:
    """Run a classic BPF program on one system call, as the kernel does."""
    data = struct.pack("=II", number, arch)
    steps = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        code, on_true, on_false, value = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x15:
            at += on_true if accumulator == value else on_false
        elif code == 0x35:
            at += on_true if accumulator >= value else on_false
        else:
            assert code == 0x06
            return value


@given(MACHINES, st.integers(0, 0x3FFFFFFF))
def test_everything_but_exec_passes(machine: str, number: int) -> None:
    expected = EPERM if number in EXEC[machine] else ALLOW
    assert evaluate(exec_filter(machine), number, ARCH[machine]) == expected


@pytest.mark.claim("SBX-10")
@pytest.mark.parametrize("machine", sorted(ARCH))
def test_exec_is_refused(machine: str) -> None:
    for number in EXEC[machine]:
        assert evaluate(exec_filter(machine), number, ARCH[machine]) == EPERM
        for near in (number - 1, number + 1):
            assert evaluate(exec_filter(machine), near, ARCH[machine]) == ALLOW


@given(MACHINES, st.integers(0x40000000, 0xFFFFFFFF))
def test_numbers_of_x32_are_refused(machine: str, number: int) -> None:
    assert evaluate(exec_filter(machine), number, ARCH[machine]) == EPERM


@given(MACHINES, st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_a_foreign_abi_is_killed(machine: str, number: int, arch: int) -> None:
    if arch != ARCH[machine]:
        assert evaluate(exec_filter(machine), number, arch) == KILL


def test_an_unknown_machine() -> None:
    with pytest.raises(KeyError):
        exec_filter("riscv64")


def locked(title: str = "a/b", *, require_mdwe: bool = True) -> Callable[[], str]:
    def look() -> str:
        lock_process(title, require_mdwe=require_mdwe)
        status = Path("/proc/self/status").read_text().splitlines()
        fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
        try:
            os.execv("/bin/true", ["true"])
        except PermissionError:
            return f"{fields['Name']} {fields['NoNewPrivs']} {fields['Seccomp']}"

    return look


HARMLESS = {"call": "unshare"}
"""A refusal that the locks do not need: the child is an ordinary one."""


@pytest.mark.claim("SBX-10")
def test_a_locked_process_cannot_exec() -> None:
    assert in_restricted_child(locked("default/a-long-model"), **HARMLESS) == "default/a-long- 1 2"


def test_without_a_title_the_name_stays() -> None:
    name = Path("/proc/self/comm").read_text().strip()
    assert in_restricted_child(locked(""), **HARMLESS) == f"{name} 1 2"


@pytest.mark.claim("SBX-11")
@pytest.mark.parametrize("option", [PR_SET_DUMPABLE, PR_SET_SECCOMP])
def test_a_lock_that_is_refused_ends_the_process(option: int) -> None:
    found = in_restricted_child(locked(), prctl_option=option, error=errno.EACCES)
    assert found == f"OSError {errno.EACCES}"


@pytest.mark.claim("SBX-11")
def test_mdwe_is_required() -> None:
    found = in_restricted_child(locked(), prctl_option=PR_SET_MDWE, error=errno.EINVAL)
    assert found == f"OSError {errno.EINVAL}"


def test_mdwe_may_be_missing_where_the_operator_said_so() -> None:
    look = locked(require_mdwe=False)
    assert in_restricted_child(look, prctl_option=PR_SET_MDWE, error=errno.EINVAL) == "a/b 1 2"


def test_mdwe_that_is_refused_is_not_missing() -> None:
    look = locked(require_mdwe=False)
    found = in_restricted_child(look, prctl_option=PR_SET_MDWE, error=errno.EPERM)
    assert found == f"OSError {errno.EPERM}"


def test_files_may_not_grow() -> None:
    def look() -> str:
        forbid_file_growth()
        return str(resource.getrlimit(resource.RLIMIT_FSIZE))

    assert in_restricted_child(look, **HARMLESS) == "(0, 0)"


def test_a_limit_that_was_set_goes_on() -> None:
    # Under the real limit this child could not write what it measured: the kernel only says yes.
    def look() -> str:
        forbid_file_growth()
        return "went on"

    assert in_restricted_child(look, call="prlimit64", error=0) == "went on"


@pytest.mark.claim("SBX-11")
def test_a_refused_limit_ends_the_process() -> None:
    def look() -> str:
        forbid_file_growth()
        return "went on"

    assert in_restricted_child(look, call="prlimit64") == f"OSError {errno.EINVAL}"
