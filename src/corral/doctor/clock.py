"""Facts about time and randomness.

Trust: operator side. Input: adjtimex(2), getrandom(2), files of the kernel.
"""

from __future__ import annotations

import os

from corral.doctor.fact import Fact
from corral.doctor.files import HostFiles
from corral.doctor.kernel_unsafe import clock_synchronised


def clock() -> Fact:
    """Return whether the clock is kept right: keys and certificates expire by it."""
    good = clock_synchronised()
    if good:
        return Fact("clock", "host-owned", "synchronised")
    return Fact(
        "clock", "host-owned",
        "not synchronised" if good is False else "the kernel does not say",
        "run chrony or systemd-timesyncd; in a guest, the host may keep it right unseen",
    )  # fmt: skip


def entropy(files: HostFiles) -> Fact:
    """Return whether the kernel's random numbers are ready: every key is made of them."""
    try:
        os.getrandom(1, os.GRND_NONBLOCK)
    except BlockingIOError:
        return Fact(
            "entropy", "absent", "the kernel has not gathered enough yet",
            "wait, or give the machine a random number device (virtio-rng)", needed=True,
        )  # fmt: skip
    source = files.read("/sys/devices/virtual/misc/hw_random/rng_current") or "none"
    return Fact("entropy", "host-owned", f"initialised (hardware source: {source})", needed=True)
