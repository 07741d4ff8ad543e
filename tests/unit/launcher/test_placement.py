"""Which worker gets which cores and devices."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corral.core.errors import SandboxError
from corral.launcher.isolation import Isolation
from corral.launcher.lease import Leases
from corral.launcher.placement import Place, Places
from corral.sandbox.cgroup import CgroupHost
from corral.sandbox.oci import Edits

GPU, OTHER = "nvidia.com/gpu=0", "nvidia.com/gpu=1"
GPU_EDITS = Edits(numbers=((195, 0),), env=("A=1",))
OTHER_EDITS = Edits(numbers=((195, 1),), env=("B=2",))
SMT = ((0, 4), (1, 5), (2, 6), (3, 7))


def places(folder: Path, **settled: object) -> Places:
    return Places(
        Isolation(**settled),  # type: ignore[arg-type]
        Leases(CgroupHost(0, folder), folder / "leases"),
    )


def find(found: Places, tenant: str, holder: str, *, strict: bool) -> Place:
    """Fill a place as the pen does."""
    place = Place()
    try:
        found.fill(place, tenant, holder, strict=strict)
    except BaseException:
        place.leave()
        raise
    return place


def code_of(found: Places, tenant: str, *, strict: bool = True) -> str:
    with pytest.raises(SandboxError) as caught:
        find(found, tenant, "/x", strict=strict)
    assert caught.value.remedy
    return caught.value.code


@pytest.mark.claim("HW-01")
def test_strict_workers_get_whole_cores_that_nobody_else_has(tmp_path: Path) -> None:
    found = places(tmp_path, pool=SMT, cores_each=2)
    first, second = (find(found, t, "/x", strict=True) for t in "ab")
    assert (first.cpus, second.cpus) == ("0,1,4,5", "2,3,6,7")
    assert code_of(found, "c") == "no_exclusive_cores"
    first.leave()
    assert find(found, "c", "/x", strict=True).cpus == "0,1,4,5"


def test_a_refusal_holds_nothing(tmp_path: Path) -> None:
    found = places(tmp_path, pool=SMT[:1], cores_each=2)
    assert code_of(found, "a") == "no_exclusive_cores"
    assert find(places(tmp_path, pool=SMT[:1]), "b", "/x", strict=True).cpus == "0,4"


def test_two_launchers_share_one_pool(tmp_path: Path) -> None:
    one, other = (places(tmp_path, pool=SMT[:2]) for _ in range(2))
    assert find(one, "a", "/x", strict=True).cpus == "0,4"
    assert find(other, "a", "/y", strict=True).cpus == "1,5"
    assert code_of(other, "b") == "no_exclusive_cores"


def test_others_share_all_cores(tmp_path: Path) -> None:
    assert find(places(tmp_path, pool=SMT), "a", "/x", strict=False) == Place()
    assert find(places(tmp_path), "a", "/x", strict=True) == Place()


@pytest.mark.claim("HW-05")
def test_a_device_is_one_tenants_at_a_time(tmp_path: Path) -> None:
    devices = tuple((t, n, e) for t in "ab" for n, e in ((GPU, GPU_EDITS), (OTHER, OTHER_EDITS)))
    found = places(tmp_path, devices=devices)
    first = find(found, "a", "/x", strict=False)
    assert first.edits == GPU_EDITS.plus(OTHER_EDITS)
    again = find(found, "a", "/y", strict=False)  # control: the same tenant's second worker
    assert again.edits == first.edits
    assert find(found, "c", "/z", strict=False).edits == Edits()
    assert code_of(found, "b") == "gpu_in_use"
    first.leave()
    assert code_of(found, "b") == "gpu_in_use"
    again.leave()
    assert find(found, "b", "/z", strict=False).edits == first.edits
    assert code_of(found, "a") == "gpu_in_use"


@pytest.mark.claim("HW-07")
@pytest.mark.parametrize(
    ("name", "shared"),
    [
        (GPU, True),
        ("amd.com/gpu=0", False),
        ("apple.com/gpu=0", False),
        ("qualcomm.com/gpu=0", False),
        ("imgtec.com/gpu=0", False),
        ("nobody-looked.example/gpu=0", False),
    ],
)
def test_sharing_is_named_by_the_operator_and_not_for_every_vendor(
    tmp_path: Path, name: str, shared: bool
) -> None:
    devices = tuple((tenant, name, GPU_EDITS) for tenant in "ab")
    alone = places(tmp_path / "1", devices=devices)
    find(alone, "a", "/x", strict=False)
    assert code_of(alone, "b") == "gpu_in_use"
    found = places(tmp_path / "2", devices=devices, sharing=True)
    find(found, "a", "/x", strict=False)
    if shared:
        assert find(found, "b", "/y", strict=False).edits == GPU_EDITS
    else:
        assert code_of(found, "b") == "gpu_in_use"


def test_a_device_that_is_named_twice_is_taken_once(tmp_path: Path) -> None:
    found = places(tmp_path, devices=(("a", GPU, GPU_EDITS),) * 2)
    assert find(found, "a", "/x", strict=False).edits == GPU_EDITS


def test_where_a_process_runs_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    status = tmp_path / "7" / "status"
    status.write_text("Name:\tx\nCpus_allowed_list:\t0,4-5\nMems_allowed:\t1\n")
    Place(cpus="0,4,5").prove(7, tmp_path)
    Place().prove(7, tmp_path)
    with pytest.raises(SandboxError) as caught:
        Place(cpus="0,4").prove(7, tmp_path)
    assert caught.value.code == "isolation_unproven"
    with pytest.raises(OSError, match="8"):
        Place(cpus="0,4").prove(8, tmp_path)
    own = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    Place(cpus=own).prove(os.getpid())
