"""Each wall is reported as it is; what is missing has a remedy."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import pytest

from corral.sandbox import probe
from corral.sandbox.probe import Feature, probe_host
from tests.support.kernel_refusals import in_restricted_child


def named(features: tuple[Feature, ...], name: str) -> Feature:
    return next(feature for feature in features if feature.name == name)


def test_this_host() -> None:
    features = probe_host()
    assert len({feature.name for feature in features}) == len(features)
    assert named(features, "kernel").state == "enforced"
    assert named(features, "seccomp").state == "enforced"
    assert all(f.remedy for f in features if f.state in {"absent", "degraded", "optional"})


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    kernel = named(probe_host(), "kernel")
    assert kernel.state == "absent"
    assert kernel.remedy


def test_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    features = probe_host()
    assert named(features, "runtime").state == "absent"
    assert {named(features, f"runtime {n}").state for n in ("crun", "runc", "runsc")} == {
        "optional"
    }


def test_a_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crun = tmp_path / "crun"
    crun.write_text("#!/bin/sh\necho crun version 1.2.3\n")
    crun.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name, path: str(crun) if name == "crun" else None)
    features = probe_host()
    assert named(features, "runtime").detail == "crun (tier namespaces)"
    assert named(features, "runtime crun").detail == "crun version 1.2.3"


@pytest.mark.parametrize(("allowed", "state"), [((), "absent"), (("cgroup",), "degraded")])
def test_no_cgroups(monkeypatch: pytest.MonkeyPatch, allowed: tuple[str, ...], state: str) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert named(probe_host(allow_degraded=allowed), "cgroup").state == state


@pytest.mark.parametrize(("allowed", "state"), [((), "absent"), (("mdwe",), "degraded")])
def test_a_kernel_without_mdwe(allowed: tuple[str, ...], state: str) -> None:
    PR_SET_MDWE = 65  # noqa: N806

    def look() -> str:
        return named(probe_host(allow_degraded=allowed), "mdwe").state

    assert in_restricted_child(look, prctl_option=PR_SET_MDWE) == state


def test_a_kernel_that_refuses_namespaces() -> None:
    feature = in_restricted_child(
        lambda: (lambda f: f"{f.state} {f.remedy}")(named(probe_host(), "namespaces")),
        call="unshare",
    )
    assert feature.startswith("absent run as root")


def test_a_kernel_without_namespaces_or_seccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "Path", _NothingThere)
    features = probe_host()
    assert named(features, "namespaces").state == "absent"
    assert named(features, "seccomp").state == "absent"


@pytest.mark.parametrize(("uid", "who"), [(0, "(root)"), (1000, "(rootless)")])
def test_who_looks(monkeypatch: pytest.MonkeyPatch, uid: int, who: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert named(probe_host(), "namespaces").detail.endswith(who)


class _NothingThere(type(Path())):  # type: ignore[misc]
    """Paths of a kernel that offers nothing."""

    def exists(self) -> bool:
        return False

    def read_text(self, *_: object, **__: object) -> str:
        raise FileNotFoundError
