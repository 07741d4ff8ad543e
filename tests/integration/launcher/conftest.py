"""A state folder with built images, whose engine worker obeys its model file."""

from __future__ import annotations

import hashlib
import shutil
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import corral
from corral.core.home import Home
from corral.ipc.messages import StartEngine
from corral.sandbox.image import Installation, build_image
from tests.support.measured_launcher import StartedLauncher, start_job
from tests.support.server import copy_home

WORKER = Path(__file__).with_name("obeying_worker.py")
MIB = 1 << 20


@pytest.fixture(scope="session")
def obeying_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images for jobs, with the worker replaced; copy, don't use."""
    home = Home(tmp_path_factory.mktemp("obeying") / "home")
    installed = Installation(Path(sysconfig.get_path("purelib")), Path(corral.__file__).parent)
    home.images.mkdir(parents=True)
    for kind in ("engine", "scan", "guard", "media", "fetch"):
        build_image(kind, home.images, installed)
    package = next(home.images.glob("engine-*/rootfs/opt/python/lib/*/site-packages/corral/engine"))
    for cached in (package / "__pycache__").glob("worker.*"):
        cached.unlink()
    shutil.copyfile(WORKER, package / "worker.py")
    return home.root


@pytest.fixture
def job_home(obeying_home: Path, tmp_path: Path, needs_root: None) -> Home:
    """A fresh copy of `obeying_home`."""
    home = Home(copy_home(obeying_home, tmp_path / "home"))
    for folder in (home.blobs, home.quarantine):
        folder.mkdir(parents=True)
    return home


@pytest.fixture
def launch(job_home: Home) -> Iterator[Callable[..., StartedLauncher]]:
    """Start launchers on `job_home`; each is ended after the test."""
    started: list[StartedLauncher] = []

    def start(settings: Mapping[str, object] | None = None) -> StartedLauncher:
        started.append(start_job(job_home, settings or {}))
        return started[-1]

    yield start
    for one in started:
        one.end()
        if one.monitor.stderr:
            one.monitor.stderr.close()


@pytest.fixture
def engine_for(job_home: Home) -> Callable[..., StartEngine]:
    """Store a model that says a command; return the request that starts a worker on it."""

    def make(
        command: str, *, memory_bytes: int = 400 * MIB, tenant: str = "default"
    ) -> StartEngine:
        content = command.encode()
        digest = hashlib.sha256(content).hexdigest()
        blob = job_home.blobs / digest
        blob.write_bytes(content)
        blob.chmod(0o444)
        return StartEngine(
            tenant=tenant, model="obeying", digest=digest, quarantined=False, context_tokens=512,
            parallel=1, threads=1, memory_bytes=memory_bytes,
        )  # fmt: skip

    return make
