"""The folder of a scan: held while it runs, swept as soon as its process is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from corral.admission.quarantine import leftovers, sweep_folders
from corral.admission.scan_folder import is_abandoned, remove_abandoned, scan_folder
from corral.core.home import Home

_HOLDER = """
import sys, time
from pathlib import Path
from corral.admission.scan_folder import scan_folder
from corral.core.home import Home
with scan_folder(Home(Path(sys.argv[1]))) as folder:
    (folder / "candidate").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.quarantine.mkdir(parents=True)
    return home


def test_a_sweep_spares_a_running_scan_and_takes_what_a_killed_one_left(home: Home) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(home.root)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        sweep_folders(home)
        assert (folder / "candidate").exists()
        assert leftovers(home) == []
        holder.kill()
        holder.wait()
    assert is_abandoned(folder)
    assert leftovers(home) == [folder]
    sweep_folders(home)
    assert list(home.quarantine.iterdir()) == []


def test_a_scan_whose_folder_is_swept_before_its_lock_takes_another(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[Path] = []
    plain = os.open

    def open_late(path: Path, flags: int, **more: int) -> int:
        fd = plain(path, flags, **more)
        if not swept:
            swept.append(path)
            remove_abandoned(path)
        return fd

    monkeypatch.setattr(os, "open", open_late)
    with scan_folder(home) as folder:
        assert folder.is_dir()
        assert folder != swept[0]
    assert list(home.quarantine.iterdir()) == []
