"""Facts about the kernel: its version, namespaces, system-call filters, Landlock, MDWE, ptrace.

Trust: operator side. Input: the kernel's own files and calls.
"""

from __future__ import annotations

import os
from typing import Final

from corral.core.limits import LANDLOCK_VERSION_MIN
from corral.doctor.fact import Fact
from corral.doctor.files import HostFiles
from corral.doctor.kernel_unsafe import landlock_abi, machine, namespace_refused
from corral.doctor.profiles import shipped_profiles
from corral.sandbox.feature_unsafe import mdwe_works
from corral.sandbox.policy import Policy

NAMESPACES: Final = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
_LANDLOCK_TSYNC: Final = 8
"""From this version on the empty set of a loaded engine reaches all its threads (ADR 11)."""
_NAMESPACE_CALLS: Final = frozenset({"unshare", "setns", "clone3"})
_THREAD_FLAGS: Final = 0x10900
"""CLONE_VM, CLONE_SIGHAND and CLONE_THREAD: a clone with all of them makes no namespace."""


def kernel() -> Fact:
    """Return the kernel's version; its bugs are the host's, its updates too."""
    system, release, hardware = machine()
    seen = f"{system} {release} {hardware}"
    if system == "Linux" and hardware in {"x86_64", "aarch64"}:
        return Fact("kernel", "host-owned", seen, needed=True)
    return Fact("kernel", "absent", seen, "corral needs Linux on x86_64 or arm64", needed=True)


def namespaces(files: HostFiles) -> Fact:
    """Return whether this user can make what every jail lives in."""
    missing = [n for n in NAMESPACES if not files.exists(f"/proc/self/ns/{n}")]
    if missing:
        return Fact(
            "namespaces", "absent", f"missing: {', '.join(missing)}",
            "a kernel that is built with them", needed=True,
        )  # fmt: skip
    refused = namespace_refused()
    if refused:
        return Fact(
            "namespaces", "absent", refused,
            "run as root, or allow unprivileged user namespaces by sysctl", needed=True,
        )  # fmt: skip
    who = "root" if os.geteuid() == 0 else "rootless"
    return Fact("namespaces", "enforced", f"{', '.join(NAMESPACES)} ({who})", needed=True)


def nested_userns(files: HostFiles) -> Fact:
    """Return whether a jail can make a user namespace of its own: where kernel bugs begin."""
    opened = [kind for kind, one in shipped_profiles().items() if makes_namespaces(one)]
    if opened:
        return Fact(
            "nested-userns", "absent", f"open in the profiles of: {', '.join(opened)}",
            "this installation was changed: install corral again", needed=True,
        )  # fmt: skip
    most = files.read("/proc/sys/user/max_user_namespaces") or "unknown"
    return Fact(
        "nested-userns", "enforced",
        f"no jail may call unshare, setns or clone3, nor clone but for threads "
        f"(the host itself allows {most})", needed=True,
    )  # fmt: skip


def makes_namespaces(policy: Policy) -> bool:
    """Return whether a profile lets a process make or enter a namespace."""
    for rule in policy.syscalls:
        if rule.errno:
            continue
        if _NAMESPACE_CALLS & set(rule.names):
            return True
        if "clone" in rule.names and not any(
            a.index == 0
            and a.op == "SCMP_CMP_MASKED_EQ"
            and a.value & a.value_two & _THREAD_FLAGS == _THREAD_FLAGS
            for a in rule.args
        ):
            return True
    return False


def seccomp(files: HostFiles) -> Fact:
    """Return whether system calls can be filtered."""
    found = files.read("/proc/sys/kernel/seccomp/actions_avail").split()
    if {"errno", "kill_process"} <= set(found):
        return Fact("seccomp", "enforced", "an allow-list for each kind of jail", needed=True)
    return Fact(
        "seccomp", "absent", "no system-call filters", "a kernel with CONFIG_SECCOMP_FILTER",
        needed=True,
    )  # fmt: skip


def landlock() -> Fact:
    """Return which version of Landlock the kernel offers; engines seal themselves with it."""
    abi = landlock_abi()
    if abi < LANDLOCK_VERSION_MIN:
        missing = "no TCP rule, no scope of signals and sockets" if abi < 4 else (
            "no scope of signals and sockets"
        )  # fmt: skip
        return Fact(
            "landlock", "absent", f"ABI {abi}: {missing}" if abi else "no Landlock",
            "Linux 6.12 or later with landlock in its lsm= list, or accept it: "
            "--allow-degraded=landlock",
            needed=True,
        )  # fmt: skip
    left = "no file" if abi >= _LANDLOCK_TSYNC else "no file but the model that is in its memory"
    return Fact("landlock", "enforced", f"ABI {abi}: a loaded engine can open {left}",
                needed=True)  # fmt: skip


def mdwe() -> Fact:
    """Return whether memory can be kept from being writable and executable."""
    if mdwe_works():
        return Fact("mdwe", "enforced", "no memory is writable and executable", needed=True)
    return Fact(
        "mdwe", "absent", "PR_SET_MDWE is refused",
        "Linux 6.3 or later, or accept it: --allow-degraded=mdwe", needed=True,
    )  # fmt: skip


def ptrace_scope(files: HostFiles) -> Fact:
    """Return who may trace whom outside of jails; inside, no profile allows ptrace."""
    scope = files.read("/proc/sys/kernel/yama/ptrace_scope")
    meanings = {
        "0": "any process of the same user", "1": "only its children", "2": "root only",
        "3": "nobody",
    }  # fmt: skip
    remedy = "" if scope in {"1", "2", "3"} else "sysctl kernel.yama.ptrace_scope=1"
    if not scope:
        return Fact("ptrace-scope", "host-owned", "no Yama: same-user tracing", "a kernel with it")
    return Fact("ptrace-scope", "host-owned", f"{scope}: {meanings.get(scope, 'unknown')}", remedy)
