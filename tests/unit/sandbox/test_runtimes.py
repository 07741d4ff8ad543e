from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import get_args

import pytest

from corral.admission.trust_level import Trust
from corral.core.config import TIERS, Sandbox, TierByTrust
from corral.core.errors import SandboxError
from corral.sandbox.runtimes import (
    RUNTIME_NAMES,
    TRUSTS,
    Runtime,
    choose_runtimes,
    find_runtime,
    tier_of,
)

CRUN = Runtime("crun", "/usr/bin/crun", "namespaces", passes_fds=True, keeps_cgroup=False)
RUNSC = Runtime("runsc", "/usr/bin/runsc", "gvisor", passes_fds=False, keeps_cgroup=True)


def only(monkeypatch: pytest.MonkeyPatch, *installed: str) -> None:
    monkeypatch.setattr(
        shutil, "which", lambda name, path: f"/usr/bin/{name}" if name in installed else None
    )


def test_run_and_delete_of_crun() -> None:
    run = CRUN.run_argv(state="/s", bundle="/b", pid_file="/b/pid", name="scan-1", fds=2)
    assert run == [
        "/usr/bin/crun", "--root", "/s", "--log=/b/log", "run", "--detach",
        "--pid-file", "/b/pid", "--bundle", "/b", "--preserve-fds=2", "scan-1",
    ]  # fmt: skip
    assert CRUN.delete_argv(state="/s", name="scan-1") == [
        "/usr/bin/crun", "--root", "/s", "delete", "--force", "scan-1",
    ]  # fmt: skip


def test_runsc_is_told_that_it_has_no_root() -> None:
    run = replace(RUNSC, rootless=True).run_argv(
        state="/s", bundle="/b", pid_file="/b/pid", name="scan-1", fds=0
    )
    assert "--rootless" in run
    assert "--rootless" not in RUNSC.delete_argv(state="/s", name="scan-1")
    assert find_runtime("namespaces", "auto").rootless == (os.geteuid() != 0)


def test_runsc_has_no_network_and_keeps_the_oci_filter() -> None:
    run = RUNSC.run_argv(state="/s", bundle="/b", pid_file="/b/pid", name="scan-1", fds=0)
    assert {"--network=none", "--oci-seccomp", "--platform=ptrace"} <= set(run)
    assert not any(argument.startswith("--preserve-fds") for argument in run)


@pytest.mark.parametrize(
    ("tier", "wanted", "installed", "found"),
    [
        ("namespaces", "auto", ("runc", "crun"), "crun"),
        ("namespaces", "auto", ("runc", "runsc"), "runc"),
        ("namespaces", "runc", ("runc", "crun"), "runc"),
        ("gvisor", "auto", ("runc", "runsc"), "runsc"),
    ],
)
def test_choice(
    monkeypatch: pytest.MonkeyPatch, tier: str, wanted: str, installed: tuple[str, ...], found: str
) -> None:
    only(monkeypatch, *installed)
    runtime = find_runtime(tier, wanted)
    assert (runtime.name, runtime.path) == (found, f"/usr/bin/{found}")


@pytest.mark.parametrize(
    ("tier", "wanted", "code"),
    [
        ("vm", "auto", "runtime_missing"),
        ("vm", "krun", "runtime_missing"),
        ("gvisor", "auto", "runtime_missing"),
        ("namespaces", "runc", "runtime_missing"),
        ("gvisor", "crun", "runtime_too_weak"),
        ("vm", "runsc", "runtime_too_weak"),
    ],
)
def test_refusals(monkeypatch: pytest.MonkeyPatch, tier: str, wanted: str, code: str) -> None:
    only(monkeypatch, "crun")
    monkeypatch.setattr(os, "access", lambda *_: True)
    with pytest.raises(SandboxError) as caught:
        find_runtime(tier, wanted)
    assert caught.value.code == code
    assert caught.value.remedy


def test_a_vm_needs_hardware_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "krun", "kata-runtime")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SandboxError) as caught:
        find_runtime("vm", "auto")
    assert caught.value.code == "tier_unsupported"
    assert "/dev/kvm" in caught.value.message
    monkeypatch.setattr(os, "access", lambda *_: True)
    assert find_runtime("vm", "auto").name == "krun"
    assert find_runtime("vm", "kata-runtime").tier == "vm"


def chosen(sandbox: Sandbox, by_trust: TierByTrust) -> list[str]:
    found = choose_runtimes(sandbox, by_trust)
    assert list(found) == list(TRUSTS)
    return [runtime.name for runtime in found.values()]


@pytest.mark.claim("HOST-03")
def test_a_trust_level_can_only_raise_the_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "crun", "runc", "runsc")
    assert chosen(Sandbox(), TierByTrust()) == ["crun", "crun", "crun"]
    assert chosen(Sandbox(), TierByTrust(untrusted="gvisor")) == ["runsc", "crun", "crun"]
    assert chosen(Sandbox(runtime="runc"), TierByTrust(untrusted="gvisor")) == [
        "runsc", "runc", "runc",
    ]  # fmt: skip
    lower = TierByTrust("namespaces", "namespaces", "namespaces")
    assert chosen(Sandbox(tier="gvisor"), lower) == ["runsc"] * 3
    assert chosen(Sandbox(runtime="runsc"), lower) == ["runsc"] * 3


@pytest.mark.claim("HOST-03")
def test_a_tier_that_is_asked_for_is_never_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "crun")
    monkeypatch.setattr(os, "access", lambda *_: True)
    for by_trust in (TierByTrust(untrusted="gvisor"), TierByTrust(trusted="vm")):
        with pytest.raises(SandboxError) as caught:
            choose_runtimes(Sandbox(), by_trust)
        assert caught.value.code == "runtime_missing"
    with pytest.raises(SandboxError) as caught:
        choose_runtimes(Sandbox(tier="gvisor", runtime="crun"), TierByTrust())
    assert caught.value.code == "runtime_too_weak"


def test_tiers() -> None:
    tiers = [tier_of(name) for name in RUNTIME_NAMES]
    assert tiers == ["namespaces", "namespaces", "gvisor", "vm", "vm"]
    assert tiers == sorted(tiers, key=TIERS.index)


def test_the_trust_levels_are_those_of_admission() -> None:
    assert get_args(Trust) == TRUSTS
