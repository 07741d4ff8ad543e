"""The levels on hosts that give more or less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from corral.core.config import Config, override_config
from corral.core.errors import ConfigError, SandboxError
from corral.launcher import isolation
from corral.launcher.isolation import Isolation, bounded_config, settle_isolation
from corral.sandbox.cgroup import CgroupHost
from corral.sandbox.hardware import Point
from corral.sandbox.oci import Edits

NAMES = ("ksm", "speculation", "swap", "cores", "smt")
CORES = ((0, 2), (1, 3))


@pytest.fixture
def cgroups(tmp_path: Path) -> CgroupHost:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "memory.swap.max").touch()
    return CgroupHost(2, tmp_path)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Points that this host does not hold; a test adds to it."""
    missing: set[str] = set()
    monkeypatch.setattr(isolation, "opt_out", tuple)
    monkeypatch.setattr(isolation, "core_scheduling_works", lambda: True)
    monkeypatch.setattr(isolation, "whole_cores", lambda _: CORES)
    monkeypatch.setattr(
        isolation, "read_points",
        lambda **_: tuple(Point(n, n not in missing, f"{n} is seen", f"mend {n}") for n in NAMES),
    )  # fmt: skip
    return missing


def settled(
    cgroups: CgroupHost, *, tiers: tuple[str, ...] = ("namespaces",), **changes: object
) -> Isolation:
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return settle_isolation(override_config(Config(), named), cgroups, set(tiers))


def test_strict_on_a_host_that_gives_everything(absent: set[str], cgroups: CgroupHost) -> None:
    found = settled(cgroups, isolation__level="strict", isolation__cores_per_worker=2)
    assert (found.pool, found.cores_each, found.cookies) == (CORES, 2, True)
    assert found.required == ("ksm", "speculation")
    assert found.no_swap
    assert [p.name for p in found.points] == list(NAMES)


@pytest.mark.claim("HW-04")
@pytest.mark.parametrize("name", NAMES)
def test_strict_refuses_each_point_unless_it_is_named(
    absent: set[str], cgroups: CgroupHost, name: str
) -> None:
    absent.add(name)
    with pytest.raises(SandboxError) as caught:
        settled(cgroups, isolation__level="strict")
    assert caught.value.code == "isolation_missing"
    assert f"{name} ({name} is seen)" in caught.value.message
    assert f"mend {name}" in caught.value.remedy
    assert f"--allow-degraded={name}" in caught.value.remedy
    for other in set(NAMES) - {name}:
        with pytest.raises(SandboxError):
            settled(cgroups, isolation__level="strict", sandbox__allow_degraded=[other])
    found = settled(cgroups, isolation__level="strict", sandbox__allow_degraded=[name])
    assert name not in found.required
    assert (found.pool == ()) is (name == "cores")
    # Control: the standard level takes what there is.
    assert not next(p for p in settled(cgroups).points if p.name == name).held


def test_every_missing_point_is_named_at_once(absent: set[str], cgroups: CgroupHost) -> None:
    absent.update(NAMES)
    with pytest.raises(SandboxError) as caught:
        settled(cgroups, isolation__level="strict")
    assert all(f"--allow-degraded={name}" in caught.value.remedy for name in NAMES)


def test_standard_keeps_nothing_apart_and_demands_nothing(
    absent: set[str], cgroups: CgroupHost
) -> None:
    found = settled(cgroups)
    assert (found.pool, found.cookies, found.required) == ((), False, ())
    assert found.no_swap


def test_devices(absent: set[str], cgroups: CgroupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    edits = Edits(env=("A=1",))
    monkeypatch.setattr(isolation, "load_device", lambda name: replace(edits, env=(name,)))
    wanted = ["acme:nvidia.com/gpu=GPU:0"]
    found = settled(
        cgroups, isolation__devices=wanted, sandbox__allow_degraded=["gpu-sharing"]
    )  # fmt: skip
    assert found.devices == (
        ("acme", "nvidia.com/gpu=GPU:0", Edits(env=("nvidia.com/gpu=GPU:0",))),
    )
    assert found.sharing
    for tiers, host in (
        (("gvisor",), cgroups),
        (("gvisor", "namespaces"), cgroups),
        (("namespaces",), CgroupHost(0, cgroups.root)),
    ):
        with pytest.raises(SandboxError) as caught:
            settled(host, tiers=tiers, isolation__devices=wanted)
        assert caught.value.code == "device_unsupported"


@pytest.mark.parametrize(
    "name", ["nvidia.com/gpu=0", "acme:gpu=0", "acme:nvidia.com/gpu", "a b:c/d=0", "A:b.c/d=0", ""]
)
def test_names_that_are_no_devices(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override_config(Config(), {"isolation.devices": [name]})
    assert caught.value.code == "config_value"


@pytest.mark.parametrize(
    ("pool", "each", "workers", "threads"),
    [((), 1, 8, 6), (CORES, 1, 2, 2), (CORES, 2, 1, 4), (CORES, 3, 1, 6), (CORES * 6, 1, 8, 2)],
)
def test_workers_and_threads_follow_the_cores(
    pool: tuple[tuple[int, ...], ...], each: int, workers: int, threads: int
) -> None:
    found = Isolation(pool=pool, cores_each=each)
    assert bounded_config(Config(), found).engine.max_workers == workers
    assert found.threads_of(6) == threads
