"""What is read of a process from outside, and what the verdict makes of it on version 2."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corral.sandbox.cgroup import CgroupHost, CgroupLimits
from corral.sandbox.policy import KINDS, load_policy
from corral.selftest import inspection
from corral.selftest.catalog import load_catalog
from corral.selftest.inspection import look_at
from corral.selftest.verdict import Verdict, judge
from corral.selftest.weights import curved_weight, linear_weight, same_weight


def test_this_process() -> None:
    seen = look_at(os.getpid())
    assert set(seen) == {
        "host.memory", "host.tasks", "host.processor", "host.devices", "host.user",
    }  # fmt: skip
    assert seen["host.user"] == ("ok" if os.getuid() == 0 else "caller")


def test_a_process_that_has_gone() -> None:
    assert set(look_at(2**22 + 1).values()) == {"not-shown"}


@pytest.fixture
def version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose groups are of version 2, with one group for everybody."""
    monkeypatch.setattr(inspection, "_ROOT", tmp_path)
    monkeypatch.setattr(inspection, "_group", lambda _pid, _controller: (2, tmp_path))
    return tmp_path


def fill(group: Path, kind: str, weight: int) -> None:
    policy = load_policy(kind)
    quota = policy.cpu_cores * 100_000
    for name, text in {
        "memory.max": str(64 << 20), "pids.max": str(policy.pids), "cpu.weight": str(weight),
        "cpu.max": f"{quota or 'max'} 100000",
    }.items():  # fmt: skip
        (group / name).write_text(text + "\n")


@pytest.mark.claim("ESC-02")
@pytest.mark.parametrize("translate", [linear_weight, curved_weight])
@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_limits_of_each_zone_are_green_on_version_2(
    version_2: Path, kind: str, translate
) -> None:
    fill(version_2, kind, translate(load_policy(kind).cpu_shares))
    seen = look_at(os.getpid())
    catalog = load_catalog()
    for name in ("host.memory", "host.tasks", "host.processor", "host.devices"):
        control = "ok" if name != "host.processor" else "unified-79"
        found = judge(
            catalog[name], zone=kind, runtime="crun", tier="namespaces", outcome=seen[name],
            control=control,
        )  # fmt: skip
        # A folder that is no group: the kernel does not say what programs it has.
        expected = Verdict.ABSENT if name == "host.devices" else Verdict.GREEN
        assert found.verdict is expected, (name, seen[name], found.reason)


@pytest.mark.claim("ESC-02")
@pytest.mark.parametrize("kind", KINDS)
def test_another_weight_is_red_on_version_2(version_2: Path, kind: str) -> None:
    fill(version_2, kind, 2000)
    found = judge(
        load_catalog()["host.processor"], zone=kind, runtime="crun", tier="namespaces",
        outcome=look_at(os.getpid())["host.processor"], control="unified-79",
    )  # fmt: skip
    assert found.verdict is Verdict.RED


@pytest.mark.parametrize("shares", [2, 3, 512, 1024, 2048, 4096, 262_144])
def test_the_translation_is_the_launchers(shares: int) -> None:
    limits = CgroupLimits(memory_bytes=1, pids=1, cpu_shares=shares, cpu_quota_us=0)
    settings = dict(CgroupHost(2)._settings(limits))
    assert settings["cpu.weight"] == str(linear_weight(shares))
    assert same_weight(f"weight-{shares}", f"unified-{linear_weight(shares)}")
    assert same_weight(f"weight-{shares}", f"unified-{linear_weight(shares) + 1}")
    assert not same_weight(f"weight-{shares}", f"unified-{linear_weight(shares) + 20_000}")
    assert not same_weight(f"weight-{shares}", f"unified-{linear_weight(shares)}-cores-1")


def test_the_newer_translation_lets_the_defaults_meet() -> None:
    assert (curved_weight(2), curved_weight(1024), curved_weight(262_144)) == (1, 100, 10_000)


def test_no_limits_of_version_2(version_2: Path) -> None:
    (version_2 / "cpu.weight").write_text("100\n")
    (version_2 / "cpu.max").write_text("max 100000\n")
    seen = look_at(os.getpid())
    assert (seen["host.memory"], seen["host.tasks"]) == ("ok", "ok")
    assert "cores" not in seen["host.processor"]
    (version_2 / "memory.max").write_text("max\n")
    assert look_at(os.getpid())["host.memory"] == "ok"
