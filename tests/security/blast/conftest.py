"""One server with hostile workers for the folder: what is done to it costs one tenant at a time.

The chaos and the kill storm have servers of their own, because they meet everybody.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.jail_job import replace_worker
from tests.support.server import RunningServer, copy_home, start_server

HERE = Path(__file__).parent
CRASHES_MAX = 3


@dataclass
class HostileServer:
    """A server whose workers turn hostile when they are told to.

    Attributes:
        running: as it is now; a test that ended it puts the next one here.
    """

    running: RunningServer

    def start_again(self) -> RunningServer:
        self.running = start_server(self.running.home)
        return self.running


@pytest.fixture(scope="session")
def hostile_home(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the hostile programs in its engine image; copy, don't use."""
    home = copy_home(model_home, tmp_path_factory.mktemp("hostile") / "home")
    rootfs = replace_worker(home, HERE / "unsealed_worker.py")
    package = next(rootfs.glob("opt/python/lib/python3.*/site-packages/corral/engine"))
    shutil.copyfile(HERE / "hostile_worker.py", package / "hostile.py")
    (home / "corral.toml").write_text(
        "[engine]\nfirst_chunk_timeout_s = 6\nchunk_timeout_s = 5\nmemory_bytes = 700000000\n"
        f"crashes_max = {CRASHES_MAX}\n"
    )
    return home


@pytest.fixture(scope="session")
def hostile(
    hostile_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HostileServer]:
    server = HostileServer(
        start_server(copy_home(hostile_home, tmp_path_factory.mktemp("blast") / "home"))
    )
    yield server
    server.running.stop()


@pytest.fixture
def server(hostile: HostileServer) -> RunningServer:
    return hostile.running


@pytest.fixture(scope="session")
def bystander_key(hostile: HostileServer) -> str:
    """A key of a tenant to whom nothing is ever done."""
    return hostile.running.add_tenant("bystander")
