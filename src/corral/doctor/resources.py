"""Facts about what bounds a jail's use of the machine: control groups.

Trust: operator side. Input: /sys/fs/cgroup.
"""

from __future__ import annotations

from corral.doctor.fact import Fact
from corral.doctor.files import HostFiles
from corral.sandbox.cgroup import find_cgroups, is_hybrid


def cgroup(files: HostFiles) -> Fact:
    """Return which control groups bound memory, processes and processor time of a jail."""
    root = files.path("/sys/fs/cgroup")
    host = find_cgroups(root)
    if not host.version:
        return Fact(
            "cgroup", "absent",
            "no usable memory, pids and cpu controllers for this user; rlimits still hold",
            "run as root, or in a group of your own: corral service install --user; or accept "
            "rlimits only: --allow-degraded=cgroup", needed=True,
        )  # fmt: skip
    if host.version == 2:
        offered = files.read("/sys/fs/cgroup/cgroup.controllers").split()
    else:
        offered = [n for n in files.names("/sys/fs/cgroup") if n not in {"systemd", "unified"}]
    version = "1 (hybrid)" if is_hybrid(root) else str(host.version)
    if host.delegated:
        offered = [f"memory, pids, cpu below {' '.join(sorted(set(host.delegated.values())))}"]
        version += ", delegated to this user"
    whose = "; delegated to this user" if host.delegated else ""
    return Fact(
        "cgroup", "enforced", f"version {version}: {', '.join(offered)}{whose}", needed=True
    )


def verity(files: HostFiles) -> Fact:
    """Return which file systems can seal a model's file, so that the kernel checks each page."""
    kinds = ("ext4", "f2fs", "btrfs")
    have = [kind for kind in kinds if files.exists(f"/sys/fs/{kind}/features/verity")]
    if not have:
        return Fact("fs-verity", "host-owned", "not in this kernel")
    return Fact(
        "fs-verity", "host-owned", f"in this kernel, for {', '.join(have)}",
        "tune2fs -O verity DEVICE; corral fsck compares what is sealed",
    )  # fmt: skip
