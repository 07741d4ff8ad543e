"""Fixtures that several kinds of tests share: a state folder with the admitted demo model."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.no_silent_skips import pytest_runtest_makereport
from tests.support.server import (
    MODEL_SHA256,
    MODEL_SOURCE,
    RunningServer,
    copy_home,
    corral,
    start_server,
)

__all__ = ["pytest_runtest_makereport"]
"""Loaded here for every test: a skip under CI=true is a failure."""

# Hypothesis would fail an example that takes 0.2 s of wall time, and a busy machine takes that from
# any of them. Where a time is the claim, the test measures it itself.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the folder that all processes of a run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture
def host_settings(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[None]:
    """Keep every other test that has this fixture waiting: one changes what another compares.

    A systemd that boots raises `fs.file-max` of the whole host, whatever namespaces it has.
    """
    with (shared_folder(tmp_path_factory, worker_id) / "host-settings-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def model_home(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A stopped installation with the demo model admitted and the images built; copy, don't use.

    Made once for all processes of a run.
    """
    shared = shared_folder(tmp_path_factory, worker_id)
    folder, done = shared / "template", shared / "template-done"
    home = folder / "home"
    with (shared / "template-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            corral(home, "pull", MODEL_SOURCE, "--sha256", MODEL_SHA256)
            server = start_server(home)
            assert server.stop() == 0
            done.touch()
    return home


@pytest.fixture
def home(model_home: Path, tmp_path: Path) -> Path:
    """A fresh copy of `model_home`."""
    return copy_home(model_home, tmp_path / "home")


@pytest.fixture(scope="session")
def shared_server(
    model_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """One server for tests that only ask it things; it writes traces."""
    home = copy_home(model_home, tmp_path_factory.mktemp("shared") / "home")
    (home / "corral.toml").write_text("[telemetry]\ntrace_files = 4\n", encoding="utf-8")
    server = start_server(home)
    yield server
    server.stop()


@pytest.fixture
def server_factory(home: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start servers on `home`; each is ended after the test."""
    started: list[RunningServer] = []

    def start(*args: str) -> RunningServer:
        started.append(start_server(home, *args))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def needs_root() -> None:
    """Skip where the test cannot act as root; CI always can."""
    if os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture(scope="session")
def needs_runtime() -> Callable[[str], None]:
    """Return a check that skips where an OCI runtime is missing; CI has all of them."""

    def check(name: str) -> None:
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed")

    return check
