"""corral installed for, and run by, a user without privilege.

The suite's own interpreter may lie where only root can read, so this user gets the system's Python
and hard links to the packages, in a folder that everybody may traverse.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

import corral
from tests.support.server import folders_below, wait_until

UID = 12345
SYSTEM_PYTHON = Path("/usr/bin/python3")
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids", "cpu")


def check_system_python() -> None:
    """Skip where the system's Python cannot load the packages of this environment; CI can."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    probe = "import sys; print('%d.%d' % sys.version_info[:2])"
    there = subprocess.run(
        [SYSTEM_PYTHON, "-c", probe], capture_output=True, text=True, check=False
    )
    if there.stdout.strip() == here:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have Python {here} as {SYSTEM_PYTHON}")
    pytest.skip(f"{SYSTEM_PYTHON} is not Python {here}")


def install_program(place: Path) -> Path:
    """Make a virtual environment below `place`; return its `corral`."""
    venv = place / "venv"
    subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next(venv.glob("lib/python*/site-packages"))
    shutil.copytree(
        sysconfig.get_path("purelib"), site, copy_function=link_or_copy, dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("*.pth", "mypy", "mypyc", "ruff*", "matplotlib"),
    )  # fmt: skip
    shutil.copytree(Path(corral.__file__).parent, site / "corral")
    program = venv / "bin" / "corral"
    program.write_text(
        f"#!{venv}/bin/python3\nimport sys\nfrom corral.cli.main import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    return program


def link_or_copy(source: str, destination: str) -> str:
    try:
        os.link(source, destination)
    except OSError:  # another file system
        shutil.copy2(source, destination)
    return destination


def copy_state(template: Path, target: Path) -> Path:
    """Copy a stopped installation and give it to the user; images are made anew by its Python."""
    shutil.copytree(template, target, ignore=shutil.ignore_patterns("images"), symlinks=True)
    subprocess.run(["chown", "-R", f"{UID}:{UID}", str(target)], check=True)
    return target


def as_user(place: Path, argv: Sequence[str]) -> list[str]:
    """Return a command line that drops to the user for good."""
    return [
        "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all",
        "--bounding-set=-all", "--no-new-privs", "env", "-i", f"HOME={place}",
        "PATH=/usr/bin:/bin:/usr/sbin", *argv,
    ]  # fmt: skip


class DelegatedGroup:
    """What `Delegate=yes` does: a control group that belongs to the user."""

    def __init__(self, name: str) -> None:
        self.folders = [CGROUPS / controller / name for controller in CONTROLLERS]

    def make(self) -> None:
        for folder in self.folders:
            folder.mkdir()
            for path in (folder, folder / "cgroup.procs", folder / "tasks"):
                os.chown(path, UID, UID)

    def enter(self) -> None:
        """For `preexec_fn`: the program starts inside."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text("0")

    def below(self) -> list[Path]:
        """Groups that somebody made inside."""
        return [path for folder in self.folders for path in folders_below(folder)]

    def remove(self) -> None:
        """Remove it as soon as it is empty: what has ended may still be counted for a moment."""
        assert wait_until(self._removed), self.below()

    def _removed(self) -> bool:
        for path in sorted(self.below(), reverse=True) + self.folders:
            with suppress(OSError):
                path.rmdir()
        return not any(folder.exists() for folder in self.folders)
