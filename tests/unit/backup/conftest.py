from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from corral.backup.making import write_backup
from corral.core.home import Home
from corral.core.ids import Digest
from corral.tenancy.setup import initialise
from tests.support.backups import LOCK

DIGEST = Digest("a" * 64)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    place = Home(tmp_path_factory.mktemp("made") / "home")
    initialise(place)
    return place


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    place = Home(tmp_path / "here" / "home")
    shutil.copytree(made.root, place.root)
    place.blob(DIGEST).write_bytes(b"GGUF weights")
    place.log_file.write_bytes(b"log")
    return place


@pytest.fixture
def safe(tmp_path: Path) -> Path:
    folder = tmp_path / "safe"
    folder.mkdir()
    return folder / "corral.backup"


@pytest.fixture(scope="module")
def backed(made: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a backup of a new installation."""
    place = tmp_path_factory.mktemp("backed") / "corral.backup"
    write_backup(made, place, LOCK)
    return place
