"""What the launcher settles before the first jail, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from corral.core.config import Config, override_config
from corral.core.errors import SandboxError
from corral.core.home import Home
from corral.launcher import host as host_module
from corral.launcher.host import (
    Host,
    installation_name,
    remove_groups,
    remove_leftovers,
    settle_host,
)
from corral.sandbox.cgroup import CgroupHost


@pytest.fixture(autouse=True)
def runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: f"/usr/bin/{name}")


@pytest.fixture
def no_cgroups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)


def configured(**changes: object) -> Config:
    return override_config(Config(), {f"sandbox.{k}": v for k, v in changes.items()})


@pytest.mark.claim("SBX-11")
@pytest.mark.usefixtures("no_cgroups")
def test_without_cgroups_nothing_starts(home: Home) -> None:
    with pytest.raises(SandboxError) as caught:
        settle_host(home, Config(), "serve")
    assert caught.value.code == "feature_missing"
    assert "--allow-degraded=cgroup" in caught.value.remedy


@pytest.mark.usefixtures("no_cgroups")
def test_unless_the_operator_accepts_it(home: Home) -> None:
    host = settle_host(home, configured(allow_degraded=["cgroup"]), "serve")
    assert host.cgroup_base == ""
    assert host.degraded == ("cgroup",)
    remove_groups(host)


@pytest.mark.claim("SEAL-05")
@pytest.mark.parametrize("wall", ["landlock", "mdwe"])
@pytest.mark.usefixtures("no_cgroups")
def test_a_kernel_without_a_wall(monkeypatch: pytest.MonkeyPatch, home: Home, wall: str) -> None:
    monkeypatch.setattr(host_module, f"{wall}_works", lambda: False)
    with pytest.raises(SandboxError) as caught:
        settle_host(home, configured(allow_degraded=["cgroup"]), "serve")
    assert caught.value.code == "feature_missing"
    assert f"--allow-degraded={wall}" in caught.value.remedy
    host = settle_host(home, configured(allow_degraded=["cgroup", wall]), "serve")
    assert wall in host.degraded
    assert host.landlock("untrusted") == ("optional" if wall == "landlock" else "required")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to have cgroups")
def test_groups_are_of_this_installation_and_this_launcher(home: Home) -> None:
    host = settle_host(home, Config(), "job")
    assert host.cgroup_base == f"/corral-{installation_name(home)}/job-{os.getpid()}"


@pytest.mark.usefixtures("no_cgroups")
@pytest.mark.parametrize(
    ("changes", "engine", "plain"),
    [
        ({}, "crun", "crun"),
        ({"runtime": "runc"}, "runc", "runc"),
        ({"runtime": "runsc"}, "runsc", "crun"),
        ({"tier": "gvisor"}, "runsc", "crun"),
    ],
)
def test_runtimes(home: Home, changes: dict[str, str], engine: str, plain: str) -> None:
    host = settle_host(home, configured(allow_degraded=["cgroup"], **changes), "serve")
    for kind, name in (
        ("engine", engine),
        ("scan", engine),
        ("guard", engine),
        ("media", engine),
        ("fetch", plain),
        ("gateway", plain),
    ):
        assert host.runtime_for(kind).name == name


@pytest.mark.claim("HOST-03")
@pytest.mark.usefixtures("no_cgroups")
def test_the_trust_level_chooses_the_runtime(home: Home) -> None:
    config = override_config(
        configured(allow_degraded=["cgroup"]), {"tier_by_trust.untrusted": "gvisor"}
    )
    host = settle_host(home, config, "serve")
    assert host.runtime_for("engine").name == host.runtime_for("scan").name == "runsc"
    assert host.runtime_for("engine", "untrusted").name == "runsc"
    assert host.runtime_for("engine", "verified").name == "crun"
    assert host.runtime_for("gateway", "untrusted") == host.plain_runtime
    assert host.plain_runtime.name == "crun"


@pytest.mark.claim("SBX-13")
def test_every_engine_worker_and_media_jail_has_an_id_of_its_own(host: Host) -> None:
    fixed = {host.uid_for(kind, 5) for kind in ("gateway", "scan", "fetch", "guard")}
    engines = {host.uid_for("engine", number) for number in range(1000)}
    assert len(fixed) == 4
    assert len(engines) == 1000
    assert not fixed & engines
    assert all(host.first_uid < uid < host.first_uid + 0x1_0000 for uid in fixed | engines)
    assert {host.uid_for("media", number) for number in range(1000)} == engines
    assert host.uid_for("engine", 10**9) < host.first_uid + 0x1_0000


def test_without_root_there_is_one_id(host: Host) -> None:
    assert replace(host, rootless=True).uid_for("engine", 7) == 0


@pytest.mark.usefixtures("no_cgroups")
def test_installations_do_not_share_ids(tmp_path: Path) -> None:
    config = configured(allow_degraded=["cgroup"])
    firsts = {settle_host(Home(tmp_path / str(i)), config, "job").first_uid for i in range(20)}
    assert len(firsts) >= 18  # out of 16,383 ranges: two of twenty meet in one run of 86
    assert all(0x4000_0000 <= uid < 0x7FFF_0000 for uid in firsts)


@pytest.fixture
def dead() -> Iterator[int]:
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    return process.pid


def test_only_groups_of_dead_launchers_are_removed(home: Home, tmp_path: Path, dead: int) -> None:
    cgroups = CgroupHost(2, tmp_path / "cgroup")
    ours = cgroups.root / f"corral-{installation_name(home)}"
    other = cgroups.root / f"corral-0/serve-{dead}"
    for folder in (f"serve-{dead}/engine-1", f"job-{os.getpid()}", "by-hand"):
        (ours / folder).mkdir(parents=True)
    other.mkdir(parents=True)
    (ours / "a_file-1").touch()
    remove_leftovers(home, cgroups)
    left = sorted(path.name for path in ours.iterdir())
    assert left == ["a_file-1", "by-hand", f"job-{os.getpid()}"]
    assert other.is_dir()


def test_no_leftovers(home: Home, tmp_path: Path) -> None:
    remove_leftovers(home, CgroupHost(2, tmp_path))


def test_own_groups_are_removed_at_the_end(host: Host, tmp_path: Path) -> None:
    mine = replace(host, cgroups=CgroupHost(2, tmp_path / "c"), cgroup_base="/corral-a/serve-1")
    (tmp_path / "c/corral-a/serve-1/engine-1").mkdir(parents=True)
    (tmp_path / "c/corral-a/serve-2").mkdir()
    remove_groups(mine)
    assert (tmp_path / "c/corral-a/serve-2").is_dir()
    (tmp_path / "c/corral-a/serve-2").rmdir()
    remove_groups(mine)
    assert not (tmp_path / "c/corral-a").exists()
