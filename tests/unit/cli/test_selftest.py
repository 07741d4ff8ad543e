"""What `corral selftest` prints, writes and exits with; the attacks themselves: tests/security."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corral.selftest import run
from corral.selftest.catalog import parse_probe
from corral.selftest.run import GVISOR_ZONES
from corral.selftest.verdict import Line, judge
from tests.support.command_line import Corral

PROBE = parse_probe("files.x", "files", {"title": "t", "walls": ["w"], "expect": ["EPERM"]})


def line(outcome: str, control: str = "ok") -> Line:
    return judge(
        PROBE, zone="engine", runtime="crun", tier="namespaces", outcome=outcome, control=control
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks for; `lines` is what it gets."""
    seen: dict[str, Any] = {"lines": [line("EPERM")]}

    def matrix(_launch: object, _targets: object, _twin: object, **options: Any) -> list[Line]:
        seen.update(options)
        options["progress"]("now")
        return list(seen["lines"])

    monkeypatch.setattr(run, "run_matrix", matrix)
    return seen


def test_a_quick_run(corral: Corral, asked: dict[str, Any], tmp_path: Path) -> None:
    ended = corral("selftest", "--home", str(tmp_path))
    assert ended.code == 0
    assert "files.x" in ended.out
    assert "1 green, 0 red, 0 invalid" in ended.err
    assert asked["full"] is False
    assert len(asked["runtimes"]) == 1
    (page,) = (tmp_path / "reports").glob("*.html")
    (document,) = (tmp_path / "reports").glob("*.json")
    assert "files.x" in page.read_text()
    assert json.loads(document.read_text())["passed"] is True


@pytest.mark.claim("ESC-02")
@pytest.mark.parametrize("lines", [[line("ok")], [line("EPERM", "EPERM")], []])
def test_red_and_invalid_lines_and_no_lines_fail(
    corral: Corral, asked: dict[str, Any], tmp_path: Path, lines: list[Line]
) -> None:
    asked["lines"] = lines
    ended = corral("selftest", "--home", str(tmp_path), "--json")
    assert ended.code == 1
    assert ended.document["passed"] is False
    asked["lines"] = [line("EPERM")]
    assert corral("selftest", "--home", str(tmp_path), "--json").code == 0  # control


def test_full_takes_every_runtime_that_is_there(
    corral: Corral, asked: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "there"
    ended = corral("selftest", "--full", "--home", str(tmp_path), "--report", str(folder))
    assert ended.code == 0
    assert asked["full"] is True
    assert set(asked["runtimes"]) <= {"crun", "runc", "runsc"}
    assert len(asked["runtimes"]) >= 1
    assert len(list(folder.iterdir())) == 2
    assert set(GVISOR_ZONES) == {"engine", "sealed", "scan", "guard", "media"}


def test_one_runtime_by_name(corral: Corral, asked: dict[str, Any], tmp_path: Path) -> None:
    assert corral("selftest", "--full", "--runtime", "crun", "--home", str(tmp_path)).code == 0
    assert asked["runtimes"] == ("crun",)


def test_quick_and_full_exclude_each_other(corral: Corral, tmp_path: Path) -> None:
    assert corral("selftest", "--full", "--quick", "--home", str(tmp_path)).code == 2
