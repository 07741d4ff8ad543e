"""Facts about the processor that tenants share: SMT, core scheduling, speculation.

Trust: operator side. Input: files under /sys/devices/system/cpu, prctl(2). corral changes none of
this; what it can set for its own workers is not reported here.
"""

from __future__ import annotations

from typing import Final

from corral.doctor.fact import Fact
from corral.doctor.files import HostFiles
from corral.doctor.kernel_unsafe import speculation_control
from corral.jail.hardware_unsafe import core_scheduling_works

_CPU: Final = "/sys/devices/system/cpu"
_CONTROLS: Final = {0: "store bypass", 1: "indirect branch", 2: "L1D flush"}
_BY_PRCTL: Final = 1
"""PR_SPEC_PRCTL: a process may set the control for itself."""


def smt(files: HostFiles) -> Fact:
    """Return whether two processes can share one core at the same moment."""
    control = files.read(f"{_CPU}/smt/control") or "unknown"
    if files.read(f"{_CPU}/smt/active") == "1":
        return Fact(
            "smt", "host-owned", f"on ({control}): two tenants may share a core",
            "echo off > /sys/devices/system/cpu/smt/control, or boot with nosmt",
        )  # fmt: skip
    return Fact("smt", "host-owned", f"off as seen from here ({control})")


def core_scheduling() -> Fact:
    """Return whether the kernel could keep tenants off each other's sibling threads."""
    if core_scheduling_works():
        return Fact("core-scheduling", "host-owned", "the kernel has it")
    return Fact(
        "core-scheduling", "host-owned", "not in this kernel, or no SMT to use it on",
        "where SMT is on: a kernel with CONFIG_SCHED_CORE",
    )  # fmt: skip


def speculation(files: HostFiles) -> Fact:
    """Return what the kernel says about each processor flaw; a guest sees only its own part."""
    told = {
        name: files.read(f"{_CPU}/vulnerabilities/{name}")
        for name in files.names(f"{_CPU}/vulnerabilities")
    }
    if not told:
        return Fact("speculation", "host-owned", "the kernel says nothing", "a newer kernel")
    open_ = [f"{n} ({t})" for n, t in told.items() if t.startswith("Vulnerable")]
    unclear = [n for n, t in told.items() if not t or t.startswith("Unknown")]
    held = sum(text.startswith("Mitigation") for text in told.values())
    parts = [f"vulnerable: {'; '.join(open_)}"] if open_ else []
    parts += [f"not known: {', '.join(unclear)}"] if unclear else []
    parts.append(f"{held} mitigated, {len(told) - held - len(open_) - len(unclear)} not affected")
    remedy = "update microcode and kernel; in a guest, those of its host" if open_ else ""
    return Fact("speculation", "host-owned", "; ".join(parts), remedy)


def speculation_controls() -> Fact:
    """Return which speculation controls a process may set for itself here."""
    found = []
    for which, name in _CONTROLS.items():
        bits = speculation_control(which)
        if bits is None:
            found.append(f"{name}: not known")
        elif not bits:
            found.append(f"{name}: not affected")
        else:
            found.append(f"{name}: {'per process' if bits & _BY_PRCTL else 'fixed by the host'}")
    return Fact("speculation-controls", "host-owned", "; ".join(found))
