"""The OCI runtimes that corral drives, and the command line of each; pure but for `find_runtime`.

Trust: trusted base. Input: the operator's configuration. Facts about versions:
research/engine.md and research/isolation.md.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Final

from corral.core.errors import SandboxError


@dataclass(frozen=True, slots=True)
class Runtime:
    """One OCI runtime found on this host.

    Attributes:
        tier: `namespaces` or `gvisor`.
        passes_fds: hands extra descriptors into the jail (`--preserve-fds`).
        keeps_cgroup: does not manage cgroups; the launcher starts it inside the jail's own.
    """

    name: str
    path: str
    tier: str
    passes_fds: bool
    keeps_cgroup: bool

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
        return [self.path, *flags]


_KNOWN: Final = {
    "crun": Runtime("crun", "", "namespaces", passes_fds=True, keeps_cgroup=False),
    "runc": Runtime("runc", "", "namespaces", passes_fds=True, keeps_cgroup=False),
    "runsc": Runtime("runsc", "", "gvisor", passes_fds=False, keeps_cgroup=True),
}
RUNTIME_NAMES: Final = tuple(_KNOWN)
_SEARCH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_runtime(tier: str, wanted: str) -> Runtime:
    """Return the runtime for `tier`, or exactly `wanted` unless that is `auto`.

    Raises:
        SandboxError: codes `runtime_missing`, `tier_unsupported`.
    """
    if tier == "vm":
        raise SandboxError(
            "tier_unsupported",
            "the vm tier needs a host with KVM and kata-runtime, which corral did not find",
            remedy="use --tier namespaces or --tier gvisor",
        )
    names = [wanted] if wanted != "auto" else [n for n, r in _KNOWN.items() if r.tier == tier]
    for name in names:
        path = shutil.which(name, path=_SEARCH)
        if path:
            known = _KNOWN[name]
            return Runtime(name, path, known.tier, known.passes_fds, known.keeps_cgroup)
    raise SandboxError(
        "runtime_missing",
        f"no OCI runtime for the sandbox tier {tier!r} was found ({', '.join(names)})",
        remedy=f"install one: sudo apt-get install {names[0]}",
    )


def tier_of(name: str) -> str:
    """Return the sandbox tier that a runtime provides."""
    return _KNOWN[name].tier
