"""An initialised state folder, and a model file in it that passes the scanner."""

from pathlib import Path

import pytest

from corral.core.home import Home
from corral.pki.receipt_key import ensure_receipt_key
from corral.state.database import open_database
from tests.support.gguf_file import GgufFile


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    for folder in (home.state, home.secrets, home.quarantine, home.blobs):
        folder.mkdir(parents=True)
    ensure_receipt_key(home)
    open_database(home.database)
    return home


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(GgufFile().encode())
    return path
