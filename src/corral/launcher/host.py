"""What the launcher has settled about this host before it starts the first jail.

Trust: trusted base. Input: the operator's configuration and the kernel.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Final

from corral.core.config import Config
from corral.core.errors import SandboxError
from corral.core.home import Home
from corral.launcher.isolation import Isolation, settle_isolation
from corral.sandbox.cgroup import CgroupHost, find_cgroups
from corral.sandbox.feature_unsafe import landlock_works, mdwe_works
from corral.sandbox.policy import KINDS, Policy, load_policy
from corral.sandbox.runtimes import Runtime, choose_runtimes, find_runtime

_FIRST_UID: Final = 0x4000_0000
"""Above every id that distributions, /etc/subuid or systemd hand out."""
_UIDS_EACH: Final = 0x1_0000
_KIND_OFFSET: Final = {"gateway": 1, "scan": 2, "fetch": 3, "guard": 4}
_FIRST_ENGINE: Final = 16
_LOST: Final = {
    "cgroup": (
        "this host grants this user no cgroup with memory, pids and cpu controllers to bound jails",
        "run as root, or in a group of your own (corral service install --user), or accept rlimits",
    ),
    "landlock": (
        "this kernel has no Landlock of version 6 to keep files, TCP and signals from engines",
        "use Linux 6.12 or later with landlock in its lsm= list, or go on with what it has of it",
    ),
    "mdwe": (
        "this kernel cannot forbid memory that is writable and executable (PR_SET_MDWE)",
        "use Linux 6.3 or later, or go on without",
    ),
}
"""Walls that the operator may do without by name: what is lost, and the remedy."""


@dataclass(frozen=True, slots=True)
class Host:
    """Runtimes, cgroups, ids and policies of this launcher.

    Attributes:
        engine_runtimes: runtime of engines, scans, detectors and media by the model's trust level.
        plain_runtime: runtime of the gateway and the fetcher, which are handed sockets.
        rootless: the launcher has no privilege beyond its own user namespace.
        cgroup_base: path of this installation's group; empty where the host grants none.
    """

    engine_runtimes: dict[str, Runtime]
    plain_runtime: Runtime
    cgroups: CgroupHost
    cgroup_base: str
    first_uid: int
    rootless: bool
    degraded: tuple[str, ...]
    policies: dict[str, Policy]
    isolation: Isolation = field(default_factory=Isolation)

    def runtime_for(self, kind: str, trust: str = "untrusted") -> Runtime:
        """Return the runtime that starts jails of this kind, for a model of this trust level."""
        return (
            self.engine_runtimes[trust]
            if kind in {"engine", "scan", "guard", "media"}
            else self.plain_runtime
        )

    def landlock(self, trust: str) -> str:
        """Say whether an engine must have Landlock: gVisor has none, and operators may waive it."""
        waived = "landlock" in self.degraded or self.runtime_for("engine", trust).tier == "gvisor"
        return "optional" if waived else "required"

    def uid_for(self, kind: str, worker_id: int) -> int:
        """Return the host's id for a jail: one for each engine worker and media jail.

        Jails of each other kind share one. Without root there is only our own id, which
        is 0 in our user namespace.
        """
        if self.rootless:
            return 0
        if kind in {"engine", "media"}:
            return self.first_uid + _FIRST_ENGINE + worker_id % (_UIDS_EACH - _FIRST_ENGINE)
        return self.first_uid + _KIND_OFFSET[kind]


def settle_host(home: Home, config: Config, mode: str) -> Host:
    """Decide how jails are made here, or refuse.

    Args:
        home: the state folder; names the control groups and user ids of this installation.
        config: effective configuration.
        mode: `serve` or `job`.

    Raises:
        SandboxError: codes `feature_missing`, `runtime_missing`, `runtime_too_weak`,
            `tier_unsupported`, and those of `settle_isolation`.
    """
    sandbox = config.sandbox
    engine_runtimes = choose_runtimes(sandbox, config.tier_by_trust)
    passing = [r for r in engine_runtimes.values() if r.passes_fds]
    plain_runtime = passing[0] if passing else find_runtime("namespaces", "auto")
    cgroups = find_cgroups()
    missing = [] if cgroups.version else ["cgroup"]
    missing += [] if landlock_works() else ["landlock"]
    missing += [] if mdwe_works() else ["mdwe"]
    for name in missing:
        if name not in sandbox.allow_degraded:
            lost, remedy = _LOST[name]
            raise SandboxError("feature_missing", lost, remedy=f"{remedy}: --allow-degraded={name}")
    name = installation_name(home)
    base = f"/corral-{name}/{mode}-{os.getpid()}" if cgroups.version else ""
    number = int(name, 16) % ((0x7FFF_0000 - _FIRST_UID) // _UIDS_EACH)
    return Host(
        engine_runtimes=engine_runtimes,
        plain_runtime=plain_runtime,
        cgroups=cgroups,
        cgroup_base=base,
        first_uid=_FIRST_UID + number * _UIDS_EACH,
        rootless=os.geteuid() != 0,
        degraded=sandbox.allow_degraded,
        policies={kind: load_policy(kind) for kind in KINDS},
        isolation=settle_isolation(config, cgroups, {r.tier for r in engine_runtimes.values()}),
    )


def installation_name(home: Home) -> str:
    """Return the short name that this state folder's control groups carry."""
    return hashlib.sha256(str(home.root).encode()).hexdigest()[:12]


def remove_leftovers(home: Home, cgroups: CgroupHost) -> None:
    """Kill and remove groups of launchers of this installation that no longer live."""
    for folder in cgroups.folders(f"/corral-{installation_name(home)}"):
        if not folder.is_dir():
            continue
        for group in folder.iterdir():
            pid = group.name.rpartition("-")[2]
            if group.is_dir() and pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
                path = f"/{folder.name}/{group.name}"
                cgroups.kill_all(path)
                cgroups.remove(path)


def remove_groups(host: Host) -> None:
    """Remove this launcher's groups after everything in them has ended."""
    if not host.cgroup_base:
        return
    host.cgroups.kill_all(host.cgroup_base)
    host.cgroups.remove(host.cgroup_base)
    for folder in host.cgroups.folders(host.cgroup_base.rpartition("/")[0]):
        try:
            folder.rmdir()
        except OSError:
            continue  # another launcher of this installation lives
