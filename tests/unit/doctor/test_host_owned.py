"""What only the host can change is reported, with the remedy, and never claimed."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from corral.doctor import clock, devices, memory, processor, resources
from corral.doctor.files import HostFiles
from corral.doctor.kernel_unsafe import clock_synchronised, speculation_control

Tree = Callable[..., HostFiles]
CPU = "/sys/devices/system/cpu"
KSM = "/sys/kernel/mm/ksm"


@pytest.mark.parametrize(
    ("files", "detail", "remedy"),
    [
        ({}, "not in this kernel", False),
        ({f"{KSM}/run": "0\n"}, "off", False),
        ({f"{KSM}/run": "1\n", f"{KSM}/pages_sharing": "12"}, "on (12 pages shared)", True),
        ({f"{KSM}/run": "1\n"}, "on (? pages shared)", True),
    ],
)
def test_page_merging(tree: Tree, files: dict[str, str], detail: str, remedy: bool) -> None:
    fact = memory.ksm(tree(files))
    assert (fact.state, fact.detail, bool(fact.remedy)) == ("host-owned", detail, remedy)


def test_swap(tree: Tree) -> None:
    head = "Filename Type Size Used Priority\n"
    assert memory.swap(tree({"/proc/swaps": head})).detail == "none"
    fact = memory.swap(tree({"/proc/swaps": f"{head}/dev/sda2 partition 1 0 -2\n"}))
    assert fact.detail.startswith("/dev/sda2")
    assert fact.remedy


@pytest.mark.parametrize(("pattern", "where"), [("core", "files"), ("|/usr/bin/x", "a handler")])
def test_core_dumps(tree: Tree, pattern: str, where: str) -> None:
    fact = memory.core_dumps(tree({"/proc/sys/kernel/core_pattern": pattern}))
    assert fact.state == "enforced"
    assert where in fact.detail


def test_a_profile_with_core_dumps_is_seen(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loose:
        rlimits = (("RLIMIT_CORE", 1),)

    monkeypatch.setattr(memory, "shipped_profiles", lambda: {"engine": Loose})
    assert memory.core_dumps(tree()).blocks


def test_smt(tree: Tree) -> None:
    assert "off" in processor.smt(tree()).detail
    fact = processor.smt(tree({f"{CPU}/smt/active": "1", f"{CPU}/smt/control": "on"}))
    assert "share a core" in fact.detail
    assert fact.remedy


@pytest.mark.parametrize(("has", "remedy"), [(True, False), (False, True)])
def test_core_scheduling(monkeypatch: pytest.MonkeyPatch, has: bool, remedy: bool) -> None:
    monkeypatch.setattr(processor, "core_scheduling_works", lambda: has)
    assert bool(processor.core_scheduling().remedy) is remedy


def test_speculation(tree: Tree) -> None:
    assert processor.speculation(tree()).detail == "the kernel says nothing"
    folder = f"{CPU}/vulnerabilities"
    fact = processor.speculation(
        tree(
            {
                f"{folder}/mds": "Not affected", f"{folder}/spectre_v1": "Mitigation: x",
                f"{folder}/srso": "Vulnerable: no microcode", f"{folder}/tsa": "Unknown: guest",
                f"{folder}/new": "",
            }
        )
    )  # fmt: skip
    assert fact.detail == (
        "vulnerable: srso (Vulnerable: no microcode); not known: new, tsa; "
        "1 mitigated, 1 not affected"
    )
    assert fact.remedy


@pytest.mark.parametrize(
    ("bits", "word"), [(None, "not known"), (0, "not affected"), (3, "per process"), (8, "fixed")]
)
def test_speculation_controls(monkeypatch: pytest.MonkeyPatch, bits: int | None, word: str) -> None:
    assert speculation_control(99) is None
    monkeypatch.setattr(processor, "speculation_control", lambda which: bits)
    assert processor.speculation_controls().detail.count(word) == 3


@pytest.mark.parametrize("good", [True, False, None])
def test_clock(monkeypatch: pytest.MonkeyPatch, good: bool | None) -> None:
    assert clock_synchronised() in {True, False}
    monkeypatch.setattr(clock, "clock_synchronised", lambda: good)
    assert bool(clock.clock().remedy) is (good is not True)


def test_entropy(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "/sys/devices/virtual/misc/hw_random/rng_current"
    assert "virtio" in clock.entropy(tree({name: "virtio_rng.0\n"})).detail

    def not_yet(*_: int) -> bytes:
        raise BlockingIOError

    monkeypatch.setattr(os, "getrandom", not_yet)
    assert clock.entropy(tree()).blocks


def test_accelerators(tree: Tree) -> None:
    assert devices.accelerators(tree()).detail == "devices: none; CDI: none"
    fact = devices.accelerators(
        tree(
            {
                "/dev/nvidia0": "", "/dev/null": "",
                "/etc/cdi/a.json": '{"kind": "nvidia.com/gpu", "devices": [{"name": "0"}]}',
                "/etc/cdi/b.yaml": "kind: x", "/etc/cdi/notes.txt": "",
                "/var/run/cdi/c.json": '{"kind": "x"}', "/var/run/cdi/d.json": "[" * 10,
                "/var/run/cdi/e.json": "[]",
            }
        )
    )  # fmt: skip
    assert fact.detail == (
        "devices: nvidia0; CDI: nvidia.com/gpu=0, /etc/cdi/b.yaml, "
        "/var/run/cdi/c.json (not readable), /var/run/cdi/d.json (not readable), "
        "/var/run/cdi/e.json (not readable)"
    )


def test_sealing_file_systems(tree: Tree) -> None:
    assert resources.verity(tree()).detail == "not in this kernel"
    assert resources.verity(tree({"/sys/fs/ext4/features/verity": "supported"})).detail == (
        "in this kernel, for ext4"
    )


def test_cgroups(tree: Tree) -> None:
    root = "/sys/fs/cgroup"
    assert resources.cgroup(tree()).blocks
    fact = resources.cgroup(
        tree(
            {f"{root}/cgroup.controllers": "cpu memory pids", f"{root}/cgroup.subtree_control": ""}
        )
    )
    assert (fact.state, fact.detail) == ("enforced", "version 2: cpu, memory, pids")


def test_cgroups_of_version_1(tree: Tree) -> None:
    names = ("memory", "pids", "cpu", "systemd", "unified")
    fact = resources.cgroup(tree({f"/sys/fs/cgroup/{n}/tasks": "" for n in names}))
    assert fact.detail == "version 1 (hybrid): cpu, memory, pids"
