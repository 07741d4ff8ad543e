from __future__ import annotations

import shutil

import pytest

from corral.core.errors import SandboxError
from corral.sandbox.runtimes import RUNTIME_NAMES, Runtime, find_runtime, tier_of

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
        ("vm", "auto", "tier_unsupported"),
        ("gvisor", "auto", "runtime_missing"),
        ("namespaces", "runc", "runtime_missing"),
    ],
)
def test_refusals(monkeypatch: pytest.MonkeyPatch, tier: str, wanted: str, code: str) -> None:
    only(monkeypatch, "crun")
    with pytest.raises(SandboxError) as caught:
        find_runtime(tier, wanted)
    assert caught.value.code == code
    assert caught.value.remedy


def test_tiers() -> None:
    assert [tier_of(name) for name in RUNTIME_NAMES] == ["namespaces", "namespaces", "gvisor"]
