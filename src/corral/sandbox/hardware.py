"""What tenants share below the system calls, point by point: held by corral, or left to the host.

Trust: trusted base. Input: files of the kernel under /sys and /proc. Nothing is changed here.
The isolation level `strict` demands every point (`launcher.isolation`); `corral doctor` shows them.

    ksm          no page is merged with an equal page of another process
    speculation  store bypass and indirect branch prediction are off for the process
    swap         no page of a jail reaches a swap device
    cores        each worker has whole cores of its own (cpuset)
    smt          nothing else runs on the sibling thread of a worker's core
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.sandbox.cgroup import CgroupHost, read_text

CPUS: Final = Path("/sys/devices/system/cpu")
SWAPS: Final = Path("/proc/swaps")
KSM: Final = Path("/sys/kernel/mm/ksm/run")


@dataclass(frozen=True, slots=True)
class Point:
    """One point on this host.

    Attributes:
        held: corral enforces it on workers, or the host's own state leaves nothing to enforce.
        detail: what was read.
        remedy: what the operator can do where it is not held.
    """

    name: str
    held: bool
    detail: str
    remedy: str = ""


def read_points(
    *, missing: tuple[str, ...], cookies: bool, cgroups: CgroupHost,
    cores: tuple[tuple[int, ...], ...], swaps: Path = SWAPS, ksm: Path = KSM,
) -> tuple[Point, ...]:  # fmt: skip
    """Return every point.

    Args:
        missing: what `jail.hardware_unsafe.opt_out` could not bring into force.
        cookies: core scheduling works.
        cgroups: how the host offers control groups.
        cores: what `whole_cores` found.
        swaps: the kernel's list of swap devices.
        ksm: the kernel's switch for merging pages.
    """
    bounded, devices = cgroups.bounds_swap(), max(0, len(read_text(swaps).splitlines()) - 1)
    threads = max(map(len, cores), default=1)
    off = "speculation" not in missing
    return (
        Point("ksm", "ksm" not in missing, f"host: run={read_text(ksm) or 'not built in'}",
              "echo 2 > /sys/kernel/mm/ksm/run"),
        Point("speculation", off, "off" if off else "the kernel lets no process turn it off",
              "boot with spec_store_bypass_disable=prctl spectre_v2_user=prctl (a virtual machine: "
              "have its host offer SSBD and STIBP)"),
        Point("swap", bounded or not devices,
              f"{'none for jails' if bounded else 'no limit'}; host: {devices} swap device(s)",
              "swapoff -a, or boot with swapaccount=1"),
        Point("cores", cgroups.has_cpusets(), "cpuset controller of the control groups",
              "run as root on a host with the cpuset controller"),
        Point("smt", threads == 1 or cookies,
              f"{threads} thread(s) on each core as far as this kernel sees; core scheduling: "
              f"{'yes' if cookies else 'no'}",
              "echo off > /sys/devices/system/cpu/smt/control, or a kernel with CONFIG_SCHED_CORE"),
    )  # fmt: skip


def whole_cores(usable: set[int], cpus: Path = CPUS) -> tuple[tuple[int, ...], ...]:
    """Return the cores whose every hardware thread is usable, each as its threads, in order."""
    found = set()
    for number in usable:
        siblings = read_text(cpus / f"cpu{number}" / "topology" / "thread_siblings_list")
        core = parse_cpus(siblings) or (number,)
        if usable.issuperset(core):
            found.add(core)
    return tuple(sorted(found))


def parse_cpus(listed: str) -> tuple[int, ...]:
    """Return the processors of a list as the kernel writes it, such as `0,64` or `0-1`."""
    numbers: list[int] = []
    for part in listed.split(","):
        first, _, last = part.partition("-")
        if first:
            numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)
