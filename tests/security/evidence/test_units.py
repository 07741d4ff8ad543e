"""systemd-analyze on the shipped units: every lost point is known, with what needs it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.service.installation import install
from corral.service.layout import Layout

POLICY = Path(__file__).with_name("container_maker.json")
EXPOSURE_MAX = 1.3
"""As systemd counts by itself; versions differ by a tenth. The issue's goal of 0.5 cannot be had by
a unit that makes containers: namespaces, @mount and @privileged alone are 1.0 (docs/adr/0015)."""
EXPOSURE_WITHOUT_MAKING_CONTAINERS_MAX = 0.5
"""By systemd's own count with the nine points of `container_maker.json` left out."""
LOST = {
    "RestrictNamespaces_user": "jails are user namespaces",
    "RestrictNamespaces_mnt": "a jail has its own root",
    "RestrictNamespaces_pid": "a jail sees no other process",
    "RestrictNamespaces_net": "a jail has no network",
    "RestrictNamespaces_ipc": "a jail shares no memory by name",
    "RestrictNamespaces_uts": "a jail does not learn the host's name",
    "RestrictNamespaces_cgroup": "a jail sees only its own control group",
    "SystemCallFilter_mount": "mount, umount2 and pivot_root make a jail's root",
    "SystemCallFilter_privileged": "chroot, setuid and capset: how runtimes give privilege up",
    "ProtectHostname": "sethostname, in a jail's own namespace",
    "Delegate": "limits of jails are control groups of our own",
    "ProcSubset": "a new /proc can be mounted only where a whole one is visible",
    "RestrictAddressFamilies_AF_UNIX": "control socket and socket pairs",
    "RestrictAddressFamilies_AF_NETLINK": "runtimes switch on the loopback interface of a jail",
    "DeviceAllow": "the real-time clock, read only, which ProtectClock= itself adds",
    "RootDirectoryOrRootImage": "corral runs from where it was installed",
}


@pytest.fixture
def units(tmp_path: Path, needs_tool: Callable[[str], str]) -> Path:
    needs_tool("systemd-analyze")
    layout = Layout.choose(
        personal=False, root=tmp_path, program=Path("/bin/true"), listen="127.0.0.1:8443"
    )
    install(layout)
    return layout.units


def analyze(*words: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *words], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def exposure(unit: Path, *options: str) -> float:
    said = analyze("security", "--offline=true", *options, str(unit))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    return float(found[1])


@pytest.mark.claim("SVC-08")
def test_exposure(units: Path, record: Callable[..., None]) -> None:
    unit = units / "corral.service"
    stock = exposure(unit)
    assert stock <= EXPOSURE_MAX
    policy = exposure(unit, f"--security-policy={POLICY}")
    assert policy <= EXPOSURE_WITHOUT_MAKING_CONTAINERS_MAX
    record("systemd-analyze security", "`corral.service`", f"exposure {stock}")
    record("systemd-analyze security, without the nine points", "`corral.service`",
           f"exposure {policy}")  # fmt: skip


@pytest.mark.claim("SVC-08")
def test_every_lost_point_is_known(units: Path) -> None:
    said = analyze("security", "--offline=true", "--json=short", str(units / "corral.service"))
    lost = {entry["json_field"] for entry in json.loads(said) if entry["exposure"]}
    assert lost <= set(LOST)
    assert set(json.loads(POLICY.read_text())) == {
        name for name in LOST if name.startswith(("RestrictNamespaces", "SystemCallFilter"))
    }


@pytest.mark.claim("SVC-08")
def test_a_bare_unit_is_exposed(tmp_path: Path, units: Path, record: Callable[..., None]) -> None:
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure(bare) > 9
    record(
        "systemd-analyze security (control)",
        "a unit with nothing but a program",
        f"exposure {exposure(bare)}",
    )
    assert exposure(bare, f"--security-policy={POLICY}") > 9


def test_systemd_understands_the_units(units: Path) -> None:
    said = analyze("verify", "--man=no", *(str(p) for p in sorted(units.glob("corral.*"))))
    assert "corral" not in said, said
