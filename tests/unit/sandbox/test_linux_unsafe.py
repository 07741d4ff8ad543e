"""The system calls, in children that nothing else depends on."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.sandbox import linux_unsafe as linux
from tests.support.children import in_child
from tests.support.kernel_refusals import in_restricted_child

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def status_line(name: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def test_names() -> None:
    def look() -> str:
        linux.set_process_name("a-very-long-process-name")
        return Path("/proc/self/comm").read_text().strip()

    assert in_child(look) == "a-very-long-pro"


def test_no_dumps() -> None:
    def look() -> str:
        linux.forbid_dumps()
        # An undumpable process's files belong to root and cannot be opened by equals.
        import ctypes

        return str(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))

    assert in_child(look) == "0"


def test_the_kernel_ends_children_of_a_parent_that_died() -> None:
    read, write = os.pipe()
    middle = os.fork()
    if middle == 0:
        inner = os.fork()
        if inner == 0:
            linux.die_with_parent(signal.SIGKILL)
            os.write(write, b"x")
            signal.pause()
        os.close(write)
        os.read(read, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(write)
    os.waitpid(middle, 0)
    with os.fdopen(read) as stream:
        assert stream.read() == ""  # the last writer has ended


@needs_root
def test_a_private_mount() -> None:
    def look() -> str:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("", "/", "", linux.MS_REC | linux.MS_PRIVATE)
        linux.mount("tmpfs", "/mnt", "tmpfs", linux.MS_NOSUID, "size=1m")
        Path("/mnt/a").touch()
        return " ".join(os.listdir("/mnt"))

    assert in_child(look) == "a"
    assert "a" not in os.listdir("/mnt")


@needs_root
def test_kept_capabilities() -> None:
    def look() -> str:
        linux.keep_capabilities(frozenset({0, 21, 39}))
        return " ".join(status_line(f"Cap{kind}") for kind in ("Eff", "Prm", "Bnd", "Inh"))

    effective, permitted, bounding, inheritable = in_child(look).split()
    asked = 1 | 1 << 21 | 1 << 39
    assert int(effective, 16) == int(permitted, 16) == asked
    assert int(bounding, 16) & ~asked == 0
    assert int(inheritable, 16) == 0


@needs_root
def test_capabilities_that_are_not_there_are_not_asked_for() -> None:
    def look() -> str:
        linux.keep_capabilities(frozenset({0, 8}))
        linux.keep_capabilities(frozenset({0, 8, 21}))
        return status_line("CapEff")

    assert int(in_child(look), 16) == 1 | 1 << 8


@needs_root
def test_a_kernel_that_does_not_show_capabilities() -> None:
    def look() -> str:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("", "/", "", linux.MS_REC | linux.MS_PRIVATE)
        linux.mount("/dev/null", f"/proc/{os.getpid()}/status", "", linux.MS_BIND)
        linux.keep_capabilities(frozenset(range(41)))
        return "kept"

    assert in_child(look) == "OSError: the kernel shows no CapEff"


@pytest.mark.parametrize(
    ("call", "attempt"),
    [
        ("unshare", lambda: linux.unshare(linux.CLONE_NEWNS)),
        ("mount", lambda: linux.mount("a", "/b", "", 0)),
        ("prctl", lambda: linux.set_process_name("a")),
        ("capset", lambda: linux.keep_capabilities(frozenset(range(64)))),
    ],
)
def test_every_refusal_raises(call: str, attempt: Callable[[], None]) -> None:
    def look() -> str:
        attempt()
        return "went on"

    found = in_restricted_child(look, call=call, error=errno.EPERM)
    assert found == f"OSError {errno.EPERM}"
