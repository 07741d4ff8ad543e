"""The probe program attacks from a jail, or what carries the selftest's marker; else it refuses."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import corral
from corral.selftest.catalog import parse_probe
from corral.selftest.private_unsafe import STAND_INS
from corral.selftest.probes.registry import Context, Refusal, outcome_of
from corral.selftest.targets_unsafe import Targets, made_targets
from corral.selftest.verdict import Verdict, judge

SOURCE = Path(corral.__file__).parents[1]
PROBES = Path(corral.__file__).parent / "selftest/probes"


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[Targets]:
    with made_targets(tmp_path / "store", tmp_path / "quarantine") as made:
        yield made


def context(targets: Targets, **changed: object) -> Context:
    scratch = targets.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return Context(targets.request("control", control=True, scratch=str(scratch)) | changed)


def test_with_the_marker_and_its_own_targets_a_control_acts(targets: Targets) -> None:
    assert context(targets).refusal is None
    assert outcome_of(lambda _: None, context(targets)) == "ok"


@pytest.mark.claim("ESC-10")
@pytest.mark.parametrize("marker", ["", "0" * 32, "x"])
def test_without_the_marker_it_refuses(targets: Targets, marker: str) -> None:
    attacked: list[str] = []
    found = context(targets, marker=marker)
    assert found.refusal is Refusal.NO_MARKER
    assert outcome_of(lambda _: attacked.append("it"), found) == "no-marker"
    assert attacked == []


@pytest.mark.claim("ESC-10")
def test_a_folder_that_others_may_enter_is_not_the_selftests(targets: Targets) -> None:
    targets.folder.chmod(0o755)
    assert context(targets).refusal is Refusal.NO_MARKER


@pytest.mark.claim("ESC-10")
@pytest.mark.parametrize("field", ["secret", "blobs", "unix", "scratch"])
def test_a_foreign_target_is_refused(targets: Targets, field: str) -> None:
    assert context(targets, **{field: "/etc/hosts"}).refusal is Refusal.FOREIGN_TARGET
    climbing = f"{targets.folder}/../../etc/hosts"
    assert context(targets, **{field: climbing}).refusal is Refusal.FOREIGN_TARGET


@pytest.mark.claim("ESC-10")
def test_a_foreign_victim_is_refused(targets: Targets) -> None:
    assert context(targets, victim=os.getpid()).refusal is Refusal.FOREIGN_TARGET
    assert context(targets, victim=2**22 + 1).refusal is Refusal.FOREIGN_TARGET


@pytest.mark.claim("ESC-10")
def test_the_program_outside_a_jail_refuses_each_attack() -> None:
    request = {"zone": "engine", "control": False, "only": "write.host-file"}
    boot = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); "
    ended = subprocess.run(
        [sys.executable, "-I", "-c",
         boot + "from corral.selftest.probes.program import main; main()"],
        input=json.dumps(request) + "\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines == [{"id": "write.host-file", "outcome": "not-in-a-jail"}, {"end": True}]


@pytest.mark.claim("ESC-10")
@pytest.mark.parametrize("refusal", Refusal)
def test_a_refusal_never_counts_as_stopped_or_as_a_control(refusal: Refusal) -> None:
    probe = parse_probe("a.b", "files", {"title": "t", "walls": ["w"], "expect": ["EPERM"]})
    facts = {"zone": "engine", "runtime": "crun", "tier": "namespaces"}
    assert judge(probe, outcome=refusal, control="ok", **facts).verdict is Verdict.RED
    assert judge(probe, outcome="EPERM", control=refusal, **facts).verdict is Verdict.INVALID


@pytest.mark.claim("ESC-10")
def test_no_attack_asks_whether_it_is_the_control() -> None:
    """Control and jail run the same lines; only the place of a target differs (`Context.at`)."""
    asking = {
        path.name: node.lineno
        for path in PROBES.glob("*.py") if path.name != "registry.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "control"
    }  # fmt: skip
    assert asking == {}
    assert "self.control" in (PROBES / "registry.py").read_text(encoding="utf-8")  # control


def test_what_controls_could_write_or_learn_is_covered() -> None:
    assert {"/etc/shadow", "/etc/passwd", "/home", "/dev/kmsg", "/proc/sysrq-trigger",
            "/proc/sys/kernel/core_pattern", "/dev/vda", "/dev/sda"} <= set(STAND_INS)  # fmt: skip
