"""The kernel's energy counters, in a tree of its form: no machine of ours has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.doctor.energy import EnergyCounters, energy
from corral.doctor.files import HostFiles


def zone(root: Path, number: str, name: str, counted: int, most: int = 1000_000_000) -> Path:
    folder = root / "sys/class/powercap" / f"intel-rapl:{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{counted}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")
    return folder


def test_packages_and_their_memory_count_once(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0", 5_000_000)
    zone(tmp_path, "0:0", "core", 1)
    zone(tmp_path, "0:1", "dram", 2_000_000)
    zone(tmp_path, "1", "package-1", 7_000_000)
    zone(tmp_path, "2", "psys", 1)
    counters = EnergyCounters(HostFiles(tmp_path))
    assert counters.readable
    assert counters.take_j() == 0
    zone(tmp_path, "0", "package-0", 6_500_000)
    zone(tmp_path, "0:0", "core", 900_000_000)
    zone(tmp_path, "0:1", "dram", 2_250_000)
    zone(tmp_path, "1", "package-1", 9_000_000)
    zone(tmp_path, "2", "psys", 900_000_000)
    assert counters.take_j() == 3.75
    assert counters.take_j() == 0


def test_a_counter_that_begins_anew(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0", 990_000_000)
    counters = EnergyCounters(HostFiles(tmp_path))
    zone(tmp_path, "0", "package-0", 15_000_000)
    assert counters.take_j() == 25


@pytest.mark.parametrize("harm", ["none", "text", "no range", "no folder"])
def test_what_cannot_be_read_is_no_counter(tmp_path: Path, harm: str) -> None:
    folder = zone(tmp_path, "0", "package-0", 5)
    if harm == "text":
        (folder / "energy_uj").write_text("much\n")
    elif harm == "no range":
        (folder / "max_energy_range_uj").unlink()
    counters = EnergyCounters(HostFiles(tmp_path / ("nowhere" if harm == "no folder" else "")))
    assert counters.readable == (harm == "none")


def test_a_counter_that_is_gone_is_an_error_and_not_zero(tmp_path: Path) -> None:
    folder = zone(tmp_path, "0", "package-0", 5)
    counters = EnergyCounters(HostFiles(tmp_path))
    (folder / "energy_uj").unlink()
    with pytest.raises(OSError, match="energy_uj"):
        counters.take_j()


def test_the_fact(tmp_path: Path) -> None:
    assert energy(HostFiles(tmp_path)).detail == "no counter to read"
    zone(tmp_path, "0", "package-0", 1)
    assert energy(HostFiles(tmp_path)).detail == "counted: package-0"
    assert energy(HostFiles(tmp_path)).state == "host-owned"
