"""The OCI runtimes that corral drives, and the command line of each; pure but for `find_runtime`.

Trust: trusted base. Input: the operator's configuration. Facts about versions:
research/engine.md and research/isolation.md.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from typing import Final

from corral.core.config import TIERS, Sandbox, TierByTrust
from corral.core.errors import SandboxError


@dataclass(frozen=True, slots=True)
class Runtime:
    """One OCI runtime found on this host.

    Attributes:
        tier: `namespaces`, `gvisor` or `vm`.
        passes_fds: hands extra descriptors into the jail (`--preserve-fds`).
        keeps_cgroup: does not manage cgroups; the launcher starts it inside the jail's own.
        rootless: it will be started without root. `runsc` must be told: it would take another id
            for its sentry, and cannot; then the sentry has our own, in a user namespace.
    """

    name: str
    path: str
    tier: str
    passes_fds: bool
    keeps_cgroup: bool
    rootless: bool = False

    def run_argv(self, *, state: str, bundle: str, pid_file: str, name: str, fds: int) -> list[str]:
        """Return the command that starts the jail and returns when it runs."""
        tail = ["--detach", "--pid-file", pid_file, "--bundle", bundle]
        if fds:
            tail.append(f"--preserve-fds={fds}")
        return [*self._base(state), f"--log={bundle}/log", "run", *tail, name]

    def delete_argv(self, *, state: str, name: str) -> list[str]:
        """Return the command that removes what the runtime keeps of the jail."""
        return [*self._base(state), "delete", "--force", name]

    def _base(self, state: str) -> list[str]:
        flags = ["--root", state]
        if self.name == "runsc":
            # gVisor of Debian 12 (2022-12): kvm and systrap are not there, ptrace is.
            flags += ["--platform=ptrace", "--network=none", "--ignore-cgroups", "--oci-seccomp"]
            flags += ["--rootless"] * self.rootless
        return [self.path, *flags]


_KNOWN: Final = {
    "crun": Runtime("crun", "", "namespaces", passes_fds=True, keeps_cgroup=False),
    "runc": Runtime("runc", "", "namespaces", passes_fds=True, keeps_cgroup=False),
    "runsc": Runtime("runsc", "", "gvisor", passes_fds=False, keeps_cgroup=True),
    "krun": Runtime("krun", "", "vm", passes_fds=False, keeps_cgroup=False),
    "kata-runtime": Runtime("kata-runtime", "", "vm", passes_fds=False, keeps_cgroup=False),
}
RUNTIME_NAMES: Final = tuple(_KNOWN)
TRUSTS: Final = ("untrusted", "verified", "trusted")
"""Trust levels of admission, least first."""
KVM: Final = "/dev/kvm"
_INSTALL: Final = {
    "namespaces": "sudo apt-get install crun",
    "gvisor": "sudo apt-get install runsc",
    "vm": "crun with libkrun (krun), or another VM runtime with runc's command line",
}
_SEARCH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def choose_runtimes(sandbox: Sandbox, by_trust: TierByTrust) -> dict[str, Runtime]:
    """Return the runtime for models of each trust level; `sandbox` is the floor for all of them.

    Raises:
        SandboxError: codes `runtime_missing`, `tier_unsupported`, `runtime_too_weak`.
    """
    wanted = sandbox.runtime
    floor = sandbox.tier if wanted == "auto" else _stronger(tier_of(wanted), sandbox.tier)
    first = find_runtime(floor, wanted)
    chosen = {}
    for trust in TRUSTS:
        tier = _stronger(getattr(by_trust, trust) or floor, floor)
        chosen[trust] = first if tier == floor else find_runtime(tier, "auto")
    return chosen


def find_runtime(tier: str, wanted: str) -> Runtime:
    """Return the runtime for `tier`, or exactly `wanted` unless that is `auto`.

    Raises:
        SandboxError: codes `runtime_missing`, `tier_unsupported`, `runtime_too_weak`.
    """
    if wanted != "auto" and _stronger(_KNOWN[wanted].tier, tier) != _KNOWN[wanted].tier:
        raise SandboxError(
            "runtime_too_weak",
            f"{wanted} gives the tier {_KNOWN[wanted].tier!r}, and {tier!r} was asked for",
            remedy=f"leave --runtime out, or use --tier {_KNOWN[wanted].tier}",
        )
    if tier == "vm" and not os.access(KVM, os.R_OK | os.W_OK):
        raise SandboxError(
            "tier_unsupported",
            f"the vm tier needs hardware virtualisation, and this user has no {KVM}",
            remedy="use a host with KVM, or --tier gvisor",
        )
    names = [wanted] if wanted != "auto" else [n for n, r in _KNOWN.items() if r.tier == tier]
    for name in names:
        path = shutil.which(name, path=_SEARCH)
        if path:
            # Asked before the launcher is in a user namespace, where everybody is root.
            return replace(_KNOWN[name], path=path, rootless=os.geteuid() != 0)
    raise SandboxError(
        "runtime_missing",
        f"no OCI runtime for the sandbox tier {tier!r} was found ({', '.join(names)})",
        remedy=f"install one: {_INSTALL[tier]}",
    )


def tier_of(name: str) -> str:
    """Return the sandbox tier that a runtime provides."""
    return _KNOWN[name].tier


def _stronger(one: str, other: str) -> str:
    return max(one, other, key=TIERS.index)
