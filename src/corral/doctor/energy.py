"""What the processors of this machine have used, by the kernel's counters.

Trust: operator side; the files are root's alone, because a fine look at them tells what others
compute (PLATYPUS, CVE-2020-8694), so no jail sees them. Source: Linux, Documentation/power/powercap
(`intel-rapl`, which AMD's processors have as well). Input: files of the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.doctor.fact import Fact
from corral.doctor.files import HostFiles

_POWERCAP: Final = "/sys/class/powercap"


@dataclass(slots=True)
class _Zone:
    name: str
    folder: Path
    range_uj: int
    seen_uj: int


class EnergyCounters:
    """Counters of all packages, and of their memory where it is counted apart.

    `psys` is left out: it is a whole of which the packages are parts.

    Args:
        files: the host's.
    """

    def __init__(self, files: HostFiles) -> None:
        root = files.path(_POWERCAP)
        self._zones = [zone for folder in sorted(root.glob("intel-rapl:*"))
                       if (zone := _zone(folder)) is not None]  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what is counted."""
        return tuple(zone.name for zone in self._zones)

    @property
    def readable(self) -> bool:
        """There is a counter."""
        return bool(self._zones)

    def take_j(self) -> float:
        """Return the joules since the last call, or since the start.

        Raises:
            OSError, ValueError: a counter is not to be read any more.
        """
        used_uj = 0
        for zone in self._zones:
            now_uj = _number(zone.folder / "energy_uj")
            used_uj += now_uj - zone.seen_uj
            if now_uj < zone.seen_uj:  # it begins anew at the end of its range
                used_uj += zone.range_uj
            zone.seen_uj = now_uj
        return used_uj / 1e6


def energy(files: HostFiles) -> Fact:
    """Return whether the processors' energy is counted, for `corral usage`."""
    names = ", ".join(EnergyCounters(files).names)
    return Fact("energy", "host-owned", f"counted: {names}" if names else "no counter to read")


def _zone(folder: Path) -> _Zone | None:
    try:
        name = (folder / "name").read_text(encoding="ascii").strip()
        if not (name.startswith("package") or name == "dram"):
            return None
        counted, most = _number(folder / "energy_uj"), _number(folder / "max_energy_range_uj")
    except (OSError, ValueError):
        return None
    return _Zone(name, folder, most, counted)


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))
