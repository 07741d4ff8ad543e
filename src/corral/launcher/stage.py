"""The launcher's private tree: everything that jails are made from, bound to one fixed place.

Trust: trusted base. Input: the operator's state folder. Lives in the launcher's own mount
namespace, so it needs no clean-up. Mapped ids of a jail must be able to traverse to their root
folder, which no parent folder of HOME need allow: hence the fixed place.

    /mnt/images/KIND   root folder of each kind of jail (read-only)
    /mnt/store         admitted blobs (read-only)
    /mnt/quarantine    candidates
    /mnt/state         the gateway's state folder
    /mnt/bundles       OCI bundles, one folder for each jail
    /mnt/runtime       what the OCI runtime keeps
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from corral.core.home import Home
from corral.sandbox import cgroup
from corral.sandbox import linux_unsafe as linux

STAGE: Final = Path("/mnt")
IMAGES: Final = STAGE / "images"
STORE: Final = STAGE / "store"
QUARANTINE: Final = STAGE / "quarantine"
STATE: Final = STAGE / "state"
BUNDLES: Final = STAGE / "bundles"
RUNTIME: Final = STAGE / "runtime"

FILE, LAID, FOLDER = ".file", ".laid", ".folder"
"""What `show_file` shows of a jail, as endings of names in the private tree."""
_LOCKED_FLAGS: Final = (
    (os.ST_NOSUID, linux.MS_NOSUID),
    (os.ST_NODEV, linux.MS_NODEV),
    (os.ST_NOEXEC, linux.MS_NOEXEC),
    (os.ST_RDONLY, linux.MS_RDONLY),
)
_SAFE: Final = linux.MS_NOSUID | linux.MS_NODEV


def build_stage(home: Home, images: Mapping[str, Path], *, hide_unified: bool) -> None:
    """Mount the private tree.

    Args:
        home: the state folder.
        images: kind of jail -> root folder on the host.
        hide_unified: cover the version 2 cgroup mount of a hybrid host, which crun 1.8 refuses.

    Raises:
        OSError: a mount was refused; nothing may be started.
    """
    sources = {IMAGES / kind: root for kind, root in images.items()}
    sources |= {STORE: home.blobs, QUARANTINE: home.quarantine, STATE: home.state}
    opened = {
        target: os.open(source, os.O_PATH | os.O_DIRECTORY) for target, source in sources.items()
    }
    linux.mount("tmpfs", str(STAGE), "tmpfs", _SAFE | linux.MS_NOEXEC, "mode=711,size=16m")
    for target, fd in opened.items():
        target.mkdir(parents=True)
        linux.mount(f"/proc/self/fd/{fd}", str(target), "", linux.MS_BIND)
        _restrict(target, _flags(target))
        os.close(fd)
    BUNDLES.mkdir(mode=0o711)
    RUNTIME.mkdir(mode=0o711)
    if hide_unified and cgroup.is_hybrid():
        linux.mount("tmpfs", str(cgroup.ROOT / "unified"), "tmpfs", _SAFE, "size=1m")


def show_file(name: str, fd: int, ending: str = FILE) -> str:
    """Bind an open file, or with `FOLDER` an open folder, to a path of the private tree.

    For a runtime that passes no descriptors, and for folders. What is bound is what was opened and
    checked, so that its name can play no trick. Returns the path.
    """
    path = BUNDLES / f"{name}{ending}"
    if ending == FOLDER:
        path.mkdir(mode=0o755)
    else:
        path.touch(mode=0o444)
    linux.mount(f"/proc/self/fd/{fd}", str(path), "", linux.MS_BIND)
    _restrict(path, _SAFE | linux.MS_NOEXEC | linux.MS_RDONLY)
    return str(path)


def hide_file(name: str) -> None:
    """Undo each `show_file` of this jail."""
    for ending, remove in ((FILE, os.unlink), (LAID, os.unlink), (FOLDER, os.rmdir)):
        path = BUNDLES / f"{name}{ending}"
        if path.exists():
            linux.unmount(str(path))
            remove(path)


def _flags(target: Path) -> int:
    if target.parent == IMAGES:
        # Neither nosuid nor nodev: gVisor of 2022 remounts its root without repeating them, which
        # a user namespace forbids. Images hold no device and no set-id file (`sandbox.image`).
        return linux.MS_RDONLY
    writable = target in {QUARANTINE, STATE}
    return _SAFE | linux.MS_NOEXEC | (0 if writable else linux.MS_RDONLY)


def _restrict(target: Path, flags: int) -> None:
    # In a user namespace, flags that the source mount has are locked and must be repeated.
    have = os.statvfs(target).f_flag
    for bit, flag in _LOCKED_FLAGS:
        if have & bit:
            flags |= flag
    access = 0x200000 if have & os.ST_RELATIME else 0x400 if have & os.ST_NOATIME else 0
    linux.mount("", str(target), "", linux.MS_REMOUNT | linux.MS_BIND | flags | access)
