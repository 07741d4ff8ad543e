"""What the launcher sees of a worker's seal: made-up trees of /proc, and real processes."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.jail.filter import ALLOW
from corral.jail.seal_unsafe import install_filter
from corral.launcher.sealed import find_flaw, is_ending, parse_status
from tests.support.children import ended
from tests.support.server import wait_until

ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, ALLOW)
PR_SET_NO_NEW_PRIVS = 38


def status(*, name: str = "default/m", mode: str = "2", filters: str = "4", nnp: str = "1") -> str:
    return (
        f"Name:\t{name}\nUmask:\t0022\nNoNewPrivs:\t{nnp}\nSeccomp:\t{mode}\n"
        f"Seccomp_filters:\t{filters}\nSpeculation_Store_Bypass:\tvulnerable\nodd line\n"
    )


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A launcher under one filter of a service manager, and a sealed worker 7 of three threads."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(status(filters="1"))
    for thread in ("7", "8", "9"):
        (tmp_path / "7/task" / thread / "fd").mkdir(parents=True)
        (tmp_path / "7/task" / thread / "status").write_text(status())
        for fd in "012":
            (tmp_path / "7/task" / thread / "fd" / fd).touch()
    return tmp_path


@pytest.mark.claim("SEAL-06")
def test_a_sealed_worker_has_no_flaw(proc: Path) -> None:
    assert find_flaw(7, opaque=False, proc=proc) == ""


@pytest.mark.claim("SEAL-06")
@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ({"mode": "0"}, "a thread is not confined"),
        ({"nnp": "0"}, "a thread is not confined"),
        ({"filters": "3"}, "a thread is not under the last filter"),
        ({"filters": "5"}, "a thread is not under the last filter"),
        ({"filters": ""}, "it cannot be looked at"),
        ({"filters": "many"}, "it cannot be looked at"),
        # Its name is the one thing that it chooses; the kernel writes a line end as two characters.
        ({"name": "x\\nSeccomp_filters:\t4", "filters": "3"},
         "a thread is not under the last filter"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("thread", ["7", "9"])
def test_one_thread_is_enough(proc: Path, thread: str, change: dict[str, str], flaw: str) -> None:
    (proc / "7/task" / thread / "status").write_text(status(**change))
    assert find_flaw(7, opaque=False, proc=proc) == flaw


@pytest.mark.claim("SEAL-06")
@pytest.mark.parametrize("thread", ["7", "8"])
def test_one_descriptor_is_enough(proc: Path, thread: str) -> None:
    (proc / "7/task" / thread / "fd/3").touch()
    flaw = find_flaw(7, opaque=False, proc=proc)
    assert flaw == "a thread has a descriptor beyond the wire"


@pytest.mark.claim("SEAL-06")
@pytest.mark.parametrize("gone", ["7/task/8/status", "self/status"])
def test_what_cannot_be_read_is_a_flaw(proc: Path, gone: str) -> None:
    (proc / gone).unlink()
    assert find_flaw(7, opaque=False, proc=proc) == "it cannot be looked at"
    assert find_flaw(6, opaque=False, proc=proc) == "it cannot be looked at"


@pytest.mark.claim("SEAL-06")
def test_a_thread_that_is_made_meanwhile_is_a_flaw(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.iterdir

    def iterdir(folder: Path) -> object:
        if folder == proc / "7/task/9/fd":
            (proc / "7/task/10").mkdir()
        return real(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert find_flaw(7, opaque=False, proc=proc) == "threads come and go"


@pytest.mark.claim("SEAL-06")
def test_of_a_sentry_only_its_own_filter_is_seen(proc: Path) -> None:
    (proc / "7/task/7/status").write_text(status(filters="1"))
    (proc / "7/task/7/fd/12").touch()
    assert find_flaw(7, opaque=True, proc=proc) == ""
    assert find_flaw(7, opaque=False, proc=proc)  # control
    (proc / "7/task/7/status").write_text(status(mode="0"))
    assert find_flaw(7, opaque=True, proc=proc) == "a thread is not confined"


@pytest.mark.parametrize(
    ("there", "missing", "ends"),
    [
        ("VmSize:\t9 kB\nSigPnd:\t0\nShdPnd:\t0000000000000001\n", "", False),
        ("VmSize:\t9 kB\nSigPnd:\t0000000000000100\nShdPnd:\t0\n", "", True),
        ("VmSize:\t9 kB\nSigPnd:\t0\nShdPnd:\t0000000000000100\n", "", True),
        ("SigPnd:\t0\nShdPnd:\t0\n", "", True),
        ("VmSize:\t9 kB\nSigPnd:\t0\n", "", True),
        ("VmSize:\t9 kB\nSigPnd:\tmany\nShdPnd:\t0\n", "", True),
        ("", "7/status", True),
    ],
)  # fmt: skip
def test_a_death_is_known_by_what_the_kernel_says(
    proc: Path, there: str, missing: str, ends: bool
) -> None:
    (proc / "7/status").write_text(there)
    if missing:
        (proc / missing).unlink()
    assert is_ending(7, proc=proc) == ends


@pytest.mark.parametrize("seconds", [0, 0.0002, 0.001, 0.05])
def test_a_killed_process_is_ending_and_a_living_one_is_not(seconds: float) -> None:
    """Killed an instant ago, or for long: what is looked at then is no flaw of a seal."""
    code = "import threading; [threading.Thread(target=input).start() for _ in range(20)]; input()"
    with ended(subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)) as process:
        assert wait_until(lambda: len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 21)
        assert not is_ending(process.pid)
        process.kill()
        time.sleep(seconds)
        assert find_flaw(process.pid, opaque=False)
        assert is_ending(process.pid)


def child(act: Callable[[], object]) -> str:
    """Return what is seen of a real child after it did something."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(tell, 1)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the tests before left what they left
            act()
            os.write(1, b"x")
            threading.Event().wait(30)
        finally:
            os._exit(1)
    os.close(tell)
    try:
        assert os.read(told, 1) == b"x"
        return find_flaw(pid, opaque=False)
    finally:
        os.close(told)
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def confine(filters: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for _ in range(filters):
        install_filter(ALLOW_ALL)


def leave_a_thread_out() -> None:
    threading.Thread(target=threading.Event().wait, args=(30,), daemon=True).start()
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for _ in range(3):  # without TSYNC: the other thread stays as it is
        ctypes.CDLL(None).prctl(22, 2, ctypes.byref(_program()), 0, 0)


def _program() -> ctypes.Structure:
    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    return Program(1, ALLOW_ALL)


@pytest.mark.claim("SEAL-06")
@pytest.mark.parametrize(
    ("act", "flaw"),
    [
        (lambda: confine(3), ""),
        (lambda: confine(2), "a thread is not under the last filter"),
        (lambda: None, "a thread is not confined"),
        (leave_a_thread_out, "a thread is not confined"),
        (
            lambda: (os.open("/", os.O_RDONLY), confine(3)),
            "a thread has a descriptor beyond the wire",
        ),
    ],
)
def test_real_processes(act: Callable[[], object], flaw: str) -> None:
    assert child(act) == flaw


def test_a_name_cannot_make_a_line() -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(15, b"x\nSeccomp:\t9", 0, 0, 0)
    try:
        assert parse_status(Path("/proc/thread-self"))["Seccomp"] != "9"
    finally:
        libc.prctl(15, b"pytest", 0, 0, 0)
