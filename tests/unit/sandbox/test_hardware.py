"""The points on hosts made of plain files."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.sandbox.cgroup import CgroupHost
from corral.sandbox.hardware import Point, parse_cpus, read_points, whole_cores

NO_SWAP = "Filename Type Size Used Priority\n"
SWAP = f"{NO_SWAP}/dev/vda2 partition 1 0 -2\n"


def host(folder: Path, *, swap_limit: bool = True, cpuset: bool = True) -> CgroupHost:
    """Return version 2 groups with what is named."""
    (folder / "cgroup.controllers").write_text("cpuset cpu memory" if cpuset else "cpu memory")
    (folder / "system.slice").mkdir()
    if swap_limit:
        (folder / "system.slice" / "memory.swap.max").touch()
    return CgroupHost(2, folder)


def points(
    folder: Path, cgroups: CgroupHost, *, missing: tuple[str, ...] = (), cookies: bool = False,
    cores: tuple[tuple[int, ...], ...] = ((0,), (1,)), swaps: str = SWAP,
) -> dict[str, Point]:  # fmt: skip
    (folder / "swaps").write_text(swaps)
    (folder / "ksm").write_text("1\n")
    read = read_points(
        missing=missing, cookies=cookies, cgroups=cgroups, cores=cores, swaps=folder / "swaps",
        ksm=folder / "ksm",
    )  # fmt: skip
    return {point.name: point for point in read}


def test_a_host_that_gives_everything(tmp_path: Path) -> None:
    found = points(tmp_path, host(tmp_path))
    assert list(found) == ["ksm", "speculation", "swap", "cores", "smt"]
    assert all(point.held for point in found.values())
    assert "run=1" in found["ksm"].detail


@pytest.mark.parametrize("name", ["ksm", "speculation"])
def test_an_opt_out_that_is_not_in_force(tmp_path: Path, name: str) -> None:
    found = points(tmp_path, host(tmp_path), missing=(name,))
    assert [p.name for p in found.values() if not p.held] == [name]
    assert found[name].remedy


@pytest.mark.parametrize(
    ("swap_limit", "swaps", "held"),
    [(True, SWAP, True), (True, NO_SWAP, True), (False, NO_SWAP, True), (False, "", True),
     (False, SWAP, False)],
)  # fmt: skip
def test_swap(tmp_path: Path, swap_limit: bool, swaps: str, held: bool) -> None:
    found = points(tmp_path, host(tmp_path, swap_limit=swap_limit), swaps=swaps)
    assert found["swap"].held is held


def test_no_cpusets(tmp_path: Path) -> None:
    assert not points(tmp_path, host(tmp_path, cpuset=False))["cores"].held


@pytest.mark.parametrize(
    ("cores", "cookies", "held"),
    [
        (((0,), (1,)), False, True),
        (((0, 2), (1, 3)), False, False),
        (((0, 2), (1, 3)), True, True),
        ((), False, True),
    ],
)
def test_sibling_threads(
    tmp_path: Path, cores: tuple[tuple[int, ...], ...], cookies: bool, held: bool
) -> None:
    assert points(tmp_path, host(tmp_path), cores=cores, cookies=cookies)["smt"].held is held


@pytest.mark.parametrize(
    ("listed", "cpus"), [("", ()), ("0", (0,)), ("0,64", (0, 64)), ("0-2,5", (0, 1, 2, 5))]
)
def test_lists_of_processors(listed: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpus(listed) == cpus


def test_a_core_is_whole_or_not_ours(tmp_path: Path) -> None:
    for number, siblings in {0: "0,2", 2: "0,2", 1: "1,3", 3: "1,3"}.items():
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{siblings}\n")
    assert whole_cores({0, 1, 2, 3}, tmp_path) == ((0, 2), (1, 3))
    assert whole_cores({0, 1, 2}, tmp_path) == ((0, 2),)
    assert whole_cores({7}, tmp_path) == ((7,),)  # a kernel that shows no topology
