"""Each wall is reported as it is; what is missing has a remedy."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from corral.doctor import kernel
from corral.doctor.files import HostFiles
from corral.doctor.kernel_unsafe import landlock_abi, namespace_refused
from corral.sandbox.policy import SyscallArg, SyscallRule, load_policy
from tests.support.kernel_refusals import in_restricted_child

HERE = HostFiles()
Tree = Callable[..., HostFiles]
ACTIONS = "/proc/sys/kernel/seccomp/actions_avail"


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel.kernel().state == "host-owned"
    monkeypatch.setattr(kernel, "machine", lambda: ("Linux", "6.1", "riscv64"))
    assert kernel.kernel().blocks


@pytest.mark.parametrize(("uid", "who"), [(0, "(root)"), (1000, "(rootless)")])
def test_namespaces(monkeypatch: pytest.MonkeyPatch, uid: int, who: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert kernel.namespaces(HERE).detail.endswith(who)


def test_a_kernel_without_namespaces(tree: Tree) -> None:
    fact = kernel.namespaces(tree({"/proc/self/ns/user": ""}))
    assert fact.blocks
    assert fact.detail == "missing: mnt, pid, net, ipc, uts, cgroup"


def test_a_kernel_that_refuses_namespaces() -> None:
    assert namespace_refused() == ""
    told = in_restricted_child(
        lambda: (lambda f: f"{f.state} {f.remedy}")(kernel.namespaces(HERE)), call="unshare"
    )
    assert told.startswith("absent run as root")


def test_filters(tree: Tree) -> None:
    assert kernel.seccomp(tree({ACTIONS: "kill_process errno allow"})).state == "enforced"
    assert kernel.seccomp(tree({ACTIONS: "errno allow"})).blocks


def test_no_filters(tree: Tree) -> None:
    assert kernel.seccomp(tree()).blocks


@pytest.mark.parametrize(
    ("abi", "state", "detail"),
    [
        (8, "enforced", "ABI 8: a loaded engine can open no file"),
        (
            7,
            "enforced",
            "ABI 7: a loaded engine can open no file but the model that is in its memory",
        ),
        (
            6,
            "enforced",
            "ABI 6: a loaded engine can open no file but the model that is in its memory",
        ),
        (5, "absent", "ABI 5: no scope of signals and sockets"),
        (3, "absent", "ABI 3: no TCP rule, no scope of signals and sockets"),
        (0, "absent", "no Landlock"),
    ],
)
def test_landlock(monkeypatch: pytest.MonkeyPatch, abi: int, state: str, detail: str) -> None:
    assert landlock_abi() >= 0
    monkeypatch.setattr(kernel, "landlock_abi", lambda: abi)
    fact = kernel.landlock()
    assert (fact.state, fact.detail) == (state, detail)
    assert fact.needed
    assert ("--allow-degraded=landlock" in fact.remedy) is (state == "absent")


def test_mdwe() -> None:
    PR_SET_MDWE = 65  # noqa: N806

    def look() -> str:
        return f"{kernel.mdwe().state} {kernel.mdwe().remedy}"

    told = in_restricted_child(look, prctl_option=PR_SET_MDWE)
    assert told.startswith("absent ")
    assert "--allow-degraded=mdwe" in told


def rule(*names: str, args: tuple[SyscallArg, ...] = (), errno: int = 0) -> SyscallRule:
    return SyscallRule(names=names, why="test", args=args, errno=errno)


@pytest.mark.parametrize(
    ("added", "opens"),
    [
        (rule("unshare"), True),
        (rule("read", "setns"), True),
        (rule("clone3"), True),
        (rule("clone3", errno=38), False),
        (rule("clone"), True),
        (rule("clone", args=(SyscallArg(0, 0x100, "SCMP_CMP_MASKED_EQ", 0x100),)), True),
        (rule("clone", args=(SyscallArg(1, 0x10900, "SCMP_CMP_MASKED_EQ", 0x10900),)), True),
        (rule("clone", args=(SyscallArg(0, 0x10900, "SCMP_CMP_MASKED_EQ", 0x10900),)), False),
    ],
)
def test_a_profile_that_lets_a_jail_make_namespaces_is_seen(
    added: SyscallRule, opens: bool
) -> None:
    policy = load_policy("engine")
    assert not kernel.makes_namespaces(policy)
    assert kernel.makes_namespaces(replace(policy, syscalls=(*policy.syscalls, added))) is opens


def test_nested_user_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel.nested_userns(HERE).state == "enforced"
    monkeypatch.setattr(kernel, "makes_namespaces", lambda policy: policy.kind == "scan")
    fact = kernel.nested_userns(HERE)
    assert fact.blocks
    assert fact.detail.endswith(": scan")


@pytest.mark.parametrize(
    ("scope", "detail"),
    [("0", "any process"), ("1", "only its children"), ("9", "unknown"), (None, "no Yama")],
)
def test_tracing_outside_of_jails(tree: Tree, scope: str | None, detail: str) -> None:
    files = {} if scope is None else {"/proc/sys/kernel/yama/ptrace_scope": f"{scope}\n"}
    fact = kernel.ptrace_scope(tree(files))
    assert fact.state == "host-owned"
    assert detail in fact.detail
    assert bool(fact.remedy) is (scope != "1")
