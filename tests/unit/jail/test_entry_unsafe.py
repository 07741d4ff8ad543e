"""The jail's entry, as a process of its own."""

from __future__ import annotations

import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from corral.jail import lockdown_unsafe
from tests.support.children import in_child

ENTRY = Path("src/corral/jail/entry_unsafe.py").absolute()
PROGRAM = """
import json, os, sys


def main():
    fd = os.open("%s", os.O_WRONLY | os.O_CREAT)
    try:
        wrote = os.write(fd, b"x") == 1
    except OSError:
        wrote = False
    print(json.dumps([__name__, sys.argv, wrote, open("/proc/self/comm").read().strip()]))
"""


def run(folder: Path, *arguments: str) -> str:
    (folder / "the_program.py").write_text(PROGRAM % (folder / "written"))
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{Path('src').absolute()}"}
    if "--lock=files" in arguments:
        environment.pop("COVERAGE_PROCESS_CONFIG", None)  # it could not write what it measures
    done = subprocess.run(
        [sys.executable, "-B", str(ENTRY), "the_program", *arguments],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_programs_main_runs_without_the_entrys_own_options(tmp_path: Path) -> None:
    out = run(tmp_path, "--model", "/m", "--title=t/m", "--degraded=cgroup")
    assert out == '["the_program", ["the_program", "--model", "/m"], true, "t/m"]'


def test_a_jail_that_may_write_no_files(tmp_path: Path) -> None:
    out = run(tmp_path, "--lock=files", "--degraded=mdwe")
    assert ", false, " in out
    assert not (tmp_path / "written").stat().st_size


def test_the_limit_is_set_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The limit itself is proven above; here it is only noted, so that this child can be measured.
    (tmp_path / "the_program.py").write_text("def main():\n    return None\n")
    asked: list[object] = []

    def look() -> str:
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(
            lockdown_unsafe, "forbid_file_growth", lambda: asked.append("no growth")
        )
        sys.argv = ["corral.jail.entry_unsafe", "the_program", "--lock=files", "--degraded=mdwe"]
        with pytest.raises(SystemExit):
            runpy.run_path(str(ENTRY), run_name="__main__")
        return f"{asked == ['no growth']} {dict(os.environ)}"

    assert in_child(look) == "True {}"


def test_importing_it_locks_nothing() -> None:
    def look() -> str:
        importlib.reload(importlib.import_module("corral.jail.entry_unsafe"))
        return str(os.path.exists("/proc/self/status") and bool(os.environ))

    assert in_child(look) == "True"


def test_without_a_module_it_ends() -> None:
    done = subprocess.run(
        [sys.executable, str(ENTRY)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 1
    assert "ValueError" in done.stderr
