"""Programs put in the place of a jail's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


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
