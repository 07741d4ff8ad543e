"""systemd-analyze on both shipped units: every lost point is known, with what needs it."""

from __future__ import annotations

import json
import math
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.service.installation import install
from corral.service.layout import Layout

POLICY = Path(__file__).with_name("container_maker.json")
LOST = tomllib.loads(Path(__file__).with_name("lost_points.toml").read_text())
MEASURED = Path(__file__).with_name("measured")
PAGE = Path(__file__).parents[3] / "docs" / "security-model.md"
EXPOSURE = {"system": 1.2, "user": 2.0}
"""As systemd counts by itself. The issue's goal of 0.5 cannot be had by a unit that makes
containers (docs/adr/0015)."""
EXPOSURE_WITHOUT_MAKING_CONTAINERS = {"system": 0.3, "user": 1.1}
"""By systemd's own count with the nine points of `container_maker.json` left out."""
KINDS = pytest.mark.parametrize("kind", ["system", "user"])


@pytest.fixture
def units(
    tmp_path: Path, needs_tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Path]:
    needs_tool("systemd-analyze")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/config")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    found = {}
    for kind in ("system", "user"):
        layout = Layout.choose(
            personal=kind == "user", root=tmp_path, program=Path("/bin/true"),
            listen="127.0.0.1:8443",
        )  # fmt: skip
        install(layout)
        found[kind] = layout.units
    return found


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
@KINDS
def test_exposure(units: dict[str, Path], kind: str, record: Callable[..., None]) -> None:
    unit = units[kind] / "corral.service"
    stock = exposure(unit)
    assert stock <= EXPOSURE[kind]
    policy = exposure(unit, f"--security-policy={POLICY}")
    assert policy <= EXPOSURE_WITHOUT_MAKING_CONTAINERS[kind]
    record("systemd-analyze security", f"`corral.service` ({kind})", f"exposure {stock}")
    record("systemd-analyze security, without the nine points", f"`corral.service` ({kind})",
           f"exposure {policy}")  # fmt: skip


@pytest.mark.claim("SVC-08")
@KINDS
def test_every_lost_point_is_known(units: dict[str, Path], kind: str) -> None:
    said = analyze(
        "security", "--offline=true", "--json=short", str(units[kind] / "corral.service")
    )
    lost = {entry["json_field"] for entry in json.loads(said) if entry["exposure"]}
    assert lost <= set(LOST[kind])
    total = sum(points for points, _ in LOST[kind].values())
    assert math.ceil(100 * total / LOST["of"]) == round(10 * EXPOSURE[kind])
    assert set(json.loads(POLICY.read_text())) == {
        name for name in LOST["system"]
        if name.startswith(("RestrictNamespaces", "SystemCallFilter"))
    }  # fmt: skip


@pytest.mark.claim("SVC-08")
def test_the_page_gives_each_point_and_its_reason() -> None:
    page = PAGE.read_text()
    for name, (points, reason) in LOST["user"].items():
        system = LOST["system"].get(name, ["\N{EN DASH}"])[0]
        assert f"| `{name}` | {system} | {points} | {reason} |" in page, name


@pytest.mark.claim("SVC-08")
def test_no_container_maker_reaches_the_goal(needs_tool: Callable[[str], str]) -> None:
    """The proof of ADR 15: what a runtime cannot do without is more than 0.5 allows."""
    needs_tool("systemd-analyze")
    needed = ("RestrictNamespaces_user", "RestrictNamespaces_mnt", "SystemCallFilter_mount",
              "SystemCallFilter_privileged")  # fmt: skip
    assert sum(LOST["system"][name][0] for name in needed) == 3530
    assert 0.5 * LOST["of"] / 10 == 2823
    # The same by systemd's own count: a unit with these, the clock of ProtectClock=, nothing else.
    assert exposure(MEASURED / "runtime-floor.service") == 0.8


@pytest.mark.claim("SVC-08")
def test_what_a_jail_that_systemd_makes_would_count(
    needs_tool: Callable[[str], str], record: Callable[..., None]
) -> None:
    needs_tool("systemd-analyze")
    found = exposure(MEASURED / "corral-engine@.service")
    assert found == 0.1
    record("systemd-analyze security (no part of corral)", "`corral-engine@.service` of ADR 15",
           f"exposure {found}")  # fmt: skip


@pytest.mark.claim("SVC-08")
def test_a_bare_unit_is_exposed(
    tmp_path: Path, units: dict[str, Path], record: Callable[..., None]
) -> None:
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure(bare) > 9
    record(
        "systemd-analyze security (control)",
        "a unit with nothing but a program",
        f"exposure {exposure(bare)}",
    )
    assert exposure(bare, f"--security-policy={POLICY}") > 9


def test_systemd_understands_the_units(units: dict[str, Path]) -> None:
    for kind in ("system", "user"):
        paths = [str(p) for p in sorted(units[kind].glob("corral.*"))]
        said = analyze("verify", "--man=no", *paths)
        assert "corral" not in said, said
