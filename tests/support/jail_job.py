"""A launcher in job mode for tests, and programs put in the place of a jail's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corral.control.client import LauncherClient
from corral.control.command import job_command
from corral.core.home import Home
from corral.ipc.messages import StartEngine
from corral.ipc.socket import socket_pair
from tests.support.server import MODEL, MODEL_SHA256


@contextmanager
def job_launcher(home: Path, **settings: object) -> Iterator[LauncherClient]:
    """Yield a client of a real launcher that works for this test only."""
    ours, theirs = socket_pair()
    process = subprocess.Popen(
        job_command(Home(home), {k.replace("__", "."): v for k, v in settings.items()},
                    theirs.fileno()),
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
    )  # fmt: skip
    theirs.close()
    ours.settimeout(60)
    client = LauncherClient(ours)
    try:
        yield client
    finally:
        client.close()
        process.wait(30)


def engine_start(
    *,
    tenant: str = "default",
    memory_bytes: int = 900 << 20,
    parallel: int = 4,
    event_interval_ms: int = 0,
) -> StartEngine:
    """Return a request for a worker on the demo model."""
    return StartEngine(
        tenant=tenant, model=MODEL, digest=MODEL_SHA256, quarantined=False, context_tokens=2048,
        parallel=parallel, threads=2, memory_bytes=memory_bytes,
        event_interval_ms=event_interval_ms,
    )  # fmt: skip


def replace_worker(home: Path, program: Path) -> Path:
    """Put a program in the place of the engine worker in the (built) engine image.

    The genuine worker stays importable as `corral.engine.genuine`. Returns the image's root.
    """
    images = [p for p in (home / "images").glob("engine-*") if (p / "complete").exists()]
    assert len(images) == 1, images
    package = next(images[0].glob("rootfs/opt/python/lib/python3.*/site-packages/corral/engine"))
    genuine = package / "genuine.py"
    if not genuine.exists():
        shutil.copyfile(package / "worker.py", genuine)
    for cached in (package / "__pycache__").glob("worker.*"):
        cached.unlink()
    (package / "worker.py").unlink()  # the file may be shared with the template by a hard link
    shutil.copyfile(program, package / "worker.py")
    os.chmod(package / "worker.py", 0o644)
    os.chmod(genuine, 0o644)
    return images[0] / "rootfs"
