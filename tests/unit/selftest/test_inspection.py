"""What is read of a process from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corral.selftest import inspection
from corral.selftest.inspection import look_at


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


def test_groups_of_version_2(version_2: Path) -> None:
    for name, text in {
        "memory.max": "268435456", "pids.max": "160", "cpu.weight": "39",
        "cpu.max": "100000 100000",
    }.items():  # fmt: skip
        (version_2 / name).write_text(text + "\n")
    seen = look_at(os.getpid())
    assert seen["host.memory"] == "limited"
    assert seen["host.tasks"] == "limited"
    assert seen["host.processor"].endswith("-cores-1")
    assert seen["host.devices"] == "not-shown"


def test_no_limits_of_version_2(version_2: Path) -> None:
    (version_2 / "cpu.weight").write_text("100\n")
    (version_2 / "cpu.max").write_text("max 100000\n")
    seen = look_at(os.getpid())
    assert (seen["host.memory"], seen["host.tasks"]) == ("ok", "ok")
    assert "cores" not in seen["host.processor"]
    (version_2 / "memory.max").write_text("max\n")
    assert look_at(os.getpid())["host.memory"] == "ok"
