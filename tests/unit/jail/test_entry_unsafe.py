"""The jail's entry, as a process of its own."""

from __future__ import annotations

import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from corral.jail import entry_unsafe, hardware_unsafe, lockdown_unsafe
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


def test_what_a_device_needs_is_in_the_environment_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "the_program.py").write_text("def main():\n    return None\n")

    def look() -> str:
        sys.argv = ["x", "the_program", "--degraded=mdwe", "--env=DRIVER=void", "--env=A=b=c"]
        sys.path.insert(0, str(tmp_path))
        with pytest.raises(SystemExit):
            entry_unsafe.main()
        return f"{sys.argv} {sorted(os.environ.items())}"

    assert in_child(look) == "['the_program'] [('A', 'b=c'), ('DRIVER', 'void')]"


@pytest.mark.claim("HW-02")
def test_a_required_point_that_is_not_in_force_ends_it_before_the_program(tmp_path: Path) -> None:
    def look() -> str:
        sys.argv = ["x", "the_program", "--degraded=mdwe", "--require=ksm,speculation"]
        sys.path.insert(0, str(tmp_path))
        hardware_unsafe.opt_out.__defaults__ = (lambda option, *_: 0 if option != 68 else 1,)
        hardware_unsafe.lock_hardware.__defaults__ = hardware_unsafe.opt_out.__defaults__
        entry_unsafe.main()
        return "it ran"

    (tmp_path / "the_program.py").write_text("def main():\n    return 'it ran'\n")
    assert in_child(look) == "OSError: not in force: ksm"


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
        monkeypatch.delitem(sys.modules, "corral.jail.entry_unsafe", raising=False)
        with pytest.raises(SystemExit):
            runpy.run_module("corral.jail.entry_unsafe", run_name="__main__")
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
