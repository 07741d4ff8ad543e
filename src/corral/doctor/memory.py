"""Facts about memory that could leave a process: page merging, swap, core dumps.

Trust: operator side. Input: files of the kernel, corral's own profiles.
"""

from __future__ import annotations

from corral.doctor.fact import Fact
from corral.doctor.files import HostFiles
from corral.doctor.profiles import shipped_profiles


def ksm(files: HostFiles) -> Fact:
    """Return whether equal pages of strangers are merged, which the time of a write tells."""
    run = files.read("/sys/kernel/mm/ksm/run")
    if not run:
        return Fact("ksm", "host-owned", "not in this kernel")
    if run == "0":
        return Fact("ksm", "host-owned", "off")
    merged = files.read("/sys/kernel/mm/ksm/pages_sharing") or "?"
    return Fact(
        "ksm", "host-owned", f"on ({merged} pages shared)", "echo 2 > /sys/kernel/mm/ksm/run"
    )


def swap(files: HostFiles) -> Fact:
    """Return whether prompts in memory can reach a disk."""
    lines = files.read("/proc/swaps").splitlines()[1:]
    if not lines:
        return Fact("swap", "host-owned", "none")
    names = ", ".join(line.split()[0] for line in lines)
    return Fact(
        "swap", "host-owned", f"{names}: prompts can reach it",
        "swapoff -a, or swap on an encrypted device",
    )  # fmt: skip


def core_dumps(files: HostFiles) -> Fact:
    """Return whether the memory of a jail that crashes can reach a disk."""
    rlimits = {kind: dict(one.rlimits) for kind, one in shipped_profiles().items()}
    loose = [kind for kind, limits in rlimits.items() if limits.get("RLIMIT_CORE") != 0]
    if loose:
        return Fact(
            "core-dumps", "absent", f"no limit of zero in the profiles of: {', '.join(loose)}",
            "this installation was changed: install corral again", needed=True,
        )  # fmt: skip
    pattern = files.read("/proc/sys/kernel/core_pattern") or "unknown"
    # A handler behind a pipe is started whatever RLIMIT_CORE says (core(5)): then only the
    # dumpable flag, which the jail entry clears, keeps a jail's memory from it.
    where = "a handler" if pattern.startswith("|") else "files"
    return Fact(
        "core-dumps", "enforced",
        f"jails are not dumpable and have a limit of 0 (the host sends dumps to {where})",
        needed=True,
    )  # fmt: skip
