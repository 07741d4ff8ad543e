"""Ways out by names: links, the folders behind descriptors, mounts and their flags.

Trust: runs in a jail. Input: `Context`. Links are made only below the process's own folder.
"""

from __future__ import annotations

import os

from corral.selftest.probes.registry import Context, Stopped, no_result, probe

_MOUNT_OPTIONS = 5
_IMAGE_FILE = "/opt/python/jail.py"


@probe("links.symlink")
def _symlink(context: Context) -> None:
    place = f"{context.scratch or '/tmp'}/link"  # noqa: S108 - the jail's own
    os.symlink(context.at("/etc/passwd"), place)
    try:
        os.close(os.open(place, os.O_RDONLY))
    finally:
        with no_result():
            os.unlink(place)


@probe("links.hard-link")
def _hard_link(context: Context) -> None:
    source = context.at(_IMAGE_FILE)
    place = f"{context.scratch or '/tmp'}/hard"  # noqa: S108 - the jail's own
    os.link(source, place)
    with no_result():
        os.unlink(place)


@probe("links.rename-out")
def _rename(context: Context) -> None:
    source, target = context.at(_IMAGE_FILE), context.at(f"{_IMAGE_FILE}.old")
    os.rename(source, target)
    with no_result():
        os.rename(target, source)


@probe("links.descriptor-parents")
def _parents(_: Context) -> None:
    # CVE-2024-21626: a descriptor or working folder of the host that was left open.
    numbers = os.listdir("/proc/self/fd")
    places = ["/proc/self/cwd", *(f"/proc/self/fd/{n}" for n in numbers)]
    for place in places:
        for up in ("", "/..", "/../..", "/../../.."):
            if os.path.exists(f"{place}{up}/etc/passwd"):
                return
    raise Stopped("inside")


@probe("links.set-times")
def _set_times(context: Context) -> None:
    os.utime(context.at(_IMAGE_FILE), (0, 0))


def _mounts() -> list[tuple[str, set[str], set[str]]]:
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            fields = left.split()
            found.append((
                fields[4], set(fields[_MOUNT_OPTIONS].split(",")),
                set(right.split()[2].split(",")),
            ))  # fmt: skip
    return found


@probe("mount.proc-hides")
def _proc_hides(_: Context) -> None:
    for place, _flags, super_options in _mounts():
        if place == "/proc" and not {"hidepid=invisible", "subset=pid"} <= super_options:
            return
    raise Stopped("subset=pid")


@probe("mount.flags")
def _flags(_: Context) -> None:
    for place, flags, _super in _mounts():
        # The image must be executable and lives on a private read-only mount; devices that a
        # runtime binds one by one are character devices of the harmless sort (`dev.nodes`).
        if place == "/" or place.startswith("/dev/"):
            continue
        wanted = {"nosuid", "noexec"} | (set() if place == "/dev" else {"nodev"})
        if not wanted <= flags:
            return
    raise Stopped("restricted")


@probe("mount.writable-places")
def _writable(context: Context) -> None:
    own = {"/dev", "/tmp", "/dev/pts", "/dev/shm", "/dev/mqueue",  # noqa: S108
           context.scratch}  # fmt: skip
    for place, flags, _super in _mounts():
        if "rw" in flags and place not in own and not place.startswith("/dev/"):
            return
    raise Stopped("own-only")
