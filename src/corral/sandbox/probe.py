"""What this host can enforce, wall by wall, for `corral doctor` and for refusing to start.

Trust: trusted base. Input: the kernel's own files and calls; nothing is changed on the host.
A feature is `enforced` (jails have it), `absent` (with the remedy) or `degraded` (absent, and the
operator accepted that by name).
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from corral.core.errors import SandboxError
from corral.sandbox.cgroup import find_cgroups
from corral.sandbox.feature_unsafe import mdwe_works, namespace_refused, read_runtime_version
from corral.sandbox.runtimes import RUNTIME_NAMES, find_runtime, tier_of

State = Literal["enforced", "absent", "degraded", "optional"]
_NAMESPACES: Final = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")


@dataclass(frozen=True, slots=True)
class Feature:
    """One wall on this host.

    Attributes:
        state: `optional` marks a runtime that is not there but is not needed either.
        detail: what was seen.
        remedy: what the operator can do if it is absent.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""


def probe_host(
    *, tier: str = "namespaces", runtime: str = "auto", allow_degraded: tuple[str, ...] = ()
) -> tuple[Feature, ...]:
    """Return every wall's state; corral can start if none is `absent`.

    Args:
        tier: sandbox tier that engines will run in.
        runtime: configured runtime, or `auto`.
        allow_degraded: features whose absence the operator accepted.
    """
    return (
        _kernel(),
        _namespaces(),
        _seccomp(),
        _mdwe(allow_degraded),
        _cgroup(allow_degraded),
        _chosen_runtime(tier, runtime),
        *(_runtime(name) for name in RUNTIME_NAMES),
    )


def _kernel() -> Feature:
    system, machine = platform.system(), platform.machine()
    if system == "Linux" and machine in {"x86_64", "aarch64"}:
        return Feature("kernel", "enforced", f"Linux {platform.release()} {machine}")
    return Feature("kernel", "absent", f"{system} {machine}", "corral needs Linux, x86_64 or arm64")


def _namespaces() -> Feature:
    missing = [n for n in _NAMESPACES if not Path(f"/proc/self/ns/{n}").exists()]
    if missing:
        return Feature("namespaces", "absent", f"missing: {', '.join(missing)}", "another kernel")
    refused = namespace_refused()
    if refused:
        return Feature(
            "namespaces", "absent", refused,
            "run as root, or allow unprivileged user namespaces by sysctl",
        )  # fmt: skip
    who = "root" if os.geteuid() == 0 else "rootless"
    return Feature("namespaces", "enforced", f"{', '.join(_NAMESPACES)} ({who})")


def _seccomp() -> Feature:
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    try:
        found = actions.read_text().split()
    except OSError:
        found = []
    if {"errno", "kill_process"} <= set(found):
        return Feature("seccomp", "enforced", "allow-list for each kind of jail")
    return Feature("seccomp", "absent", "no seccomp filters", "a kernel with CONFIG_SECCOMP_FILTER")


def _mdwe(allowed: tuple[str, ...]) -> Feature:
    if mdwe_works():
        return Feature("mdwe", "enforced", "no memory is writable and executable")
    return Feature(
        "mdwe", "degraded" if "mdwe" in allowed else "absent", "PR_SET_MDWE is refused",
        "Linux 6.3 or later, or accept it: --allow-degraded=mdwe",
    )  # fmt: skip


def _cgroup(allowed: tuple[str, ...]) -> Feature:
    host = find_cgroups()
    if host.version:
        return Feature("cgroup", "enforced", f"version {host.version}: memory, pids, cpu")
    return Feature(
        "cgroup", "degraded" if "cgroup" in allowed else "absent",
        "no usable memory, pids and cpu controllers for this user; rlimits still hold",
        "run as root, or accept rlimits only: --allow-degraded=cgroup",
    )  # fmt: skip


def _chosen_runtime(tier: str, wanted: str) -> Feature:
    try:
        found = find_runtime(tier, wanted)
        find_runtime("namespaces", "auto")
    except SandboxError as error:
        return Feature("runtime", "absent", error.message, error.remedy)
    return Feature("runtime", "enforced", f"{found.name} (tier {found.tier})")


def _runtime(name: str) -> Feature:
    try:
        found = find_runtime(tier_of(name), name)
    except SandboxError as error:
        return Feature(f"runtime {name}", "optional", "not installed", error.remedy)
    return Feature(f"runtime {name}", "enforced", read_runtime_version(found.path))
