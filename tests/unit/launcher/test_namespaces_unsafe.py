"""The launcher's namespaces, made by a child that is thrown away."""

from __future__ import annotations

import codecs
import errno
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from corral.core.errors import SandboxError
from corral.launcher.capabilities import load_kept
from corral.launcher.namespaces_unsafe import _reap, run_as_pid_one
from tests.support.children import in_child
from tests.support.kernel_refusals import in_restricted_child

Inside = Callable[[int, int], int]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def nothing() -> None:
    """Take no time beside."""


def run(inside: Inside) -> str:
    """Return the exit code, and whether `beside` (False) and `on_end` (True) were called."""

    def look() -> str:
        ended: list[bool] = []
        code = run_as_pid_one(
            inside, beside=lambda: ended.append(False), on_end=lambda: ended.append(True)
        )
        return f"{code} {ended}"

    return in_child(look)


@needs_root
def test_it_is_pid_one_with_few_capabilities(tmp_path: Path) -> None:
    def inside(host_proc: int, alive: int) -> int:
        status = Path("/proc/self/status").read_text()
        outside = os.readlink("self", dir_fd=host_proc)
        facts = [
            os.getpid(),
            Path("/proc/1/comm").read_text().strip(),
            {status.split(f"Cap{name}:")[1].split()[0] for name in ("Prm", "Eff", "Bnd")},
            {int(status.split(f"Cap{name}:")[1].split()[0], 16) for name in ("Inh", "Amb")},
            outside != "1",
            os.getsid(0),
        ]
        (tmp_path / "facts").write_text(repr(facts))
        return 5

    assert run(inside) == "5 [False, True]"
    assert (tmp_path / "facts").read_text() == (
        "[1, 'corral-launcher', {'00000000002c00c3'}, {0}, True, 1]"
    )


@needs_root
def test_everything_in_it_ends_with_it(tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)

    def inside(_: int, __: int) -> int:
        os.posix_spawn("/bin/sh", ["sh", "-c", f"exec 1>{held}; echo lives; sleep 60"], {})
        select.select([reader], [], [], 30)
        return 0

    try:
        assert run(inside) == "0 [False, True]"
        assert os.read(reader, 9) == b"lives\n"
        # The end of the file: nobody has it open any more. Of a living one it would not come.
        assert select.select([reader], [], [], 0) == ([reader], [], [])
        assert os.read(reader, 9) == b""
    finally:
        os.close(reader)


@needs_root
@pytest.mark.parametrize(
    ("sent", "arrives"),
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM),
     (signal.SIGHUP, signal.SIGHUP)],
)  # fmt: skip
def test_signals_are_forwarded(
    sent: signal.Signals, arrives: signal.Signals, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"

    def look() -> str:
        here = os.getpid()

        def inside(host_proc: int, _: int) -> int:
            got: list[int] = []
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda n, _: got.append(n))
            # The monitor has another id in the host's namespace: it is reached by a helper there.
            ready.touch()
            end = time.monotonic() + 30
            while not got and time.monotonic() < end:
                time.sleep(0.01)
            return 10 + got[0] if got else 1

        helper = os.fork()
        if helper == 0:
            while not ready.exists():
                time.sleep(0.01)
            os.kill(here, sent)
            os._exit(0)
        return str(run_as_pid_one(inside, beside=nothing, on_end=lambda: None))

    assert in_child(look) == str(10 + arrives)


@needs_root
def test_the_monitor_keeps_one_capability(tmp_path: Path) -> None:
    def look() -> str:
        assert run_as_pid_one(lambda *_: 0, beside=nothing, on_end=lambda: None) == 0
        lines = Path("/proc/self/status").read_text().splitlines()
        return repr([int(line.split()[1], 16) for line in lines if line.startswith("Cap")])

    assert in_child(look) == "[0, 2, 2, 2, 0]"


@needs_root
def test_the_manager_is_told_by_the_monitor(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.settimeout(30)
        ready = tmp_path / "ready"

        def look() -> str:
            os.environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
            here = os.getpid()
            if os.fork() == 0:
                while not ready.exists():
                    time.sleep(0.01)
                os.kill(here, signal.SIGUSR1)
                os._exit(0)

            def inside(_: int, alive: int) -> int:
                ready.touch()
                while not (tmp_path / "told").exists():
                    time.sleep(0.01)
                return 0

            return f"{here} {run_as_pid_one(inside, beside=nothing, on_end=lambda: None)}"

        with ThreadPoolExecutor(1) as pool:
            monitor = pool.submit(in_child, look)
            text, credentials, _, _ = manager.recvmsg(100, socket.CMSG_SPACE(12))
            (tmp_path / "told").touch()
            pid = struct.unpack("iii", credentials[0][2])[0]
            assert (text, monitor.result()) == (b"READY=1", f"{pid} 0")


@needs_root
def test_an_error_inside_shows_and_ends_it(capfd: pytest.CaptureFixture[str]) -> None:
    def inside(_: int, __: int) -> int:
        raise RuntimeError("the reason")

    assert run(inside) == "70 [False, True]"
    assert "RuntimeError: the reason" in capfd.readouterr().err


@needs_root
@pytest.mark.parametrize(("raised", "code"), [(SystemExit(3), 3), (SystemExit(), 0)])
def test_an_exit_inside_is_its_exit(raised: SystemExit, code: int) -> None:
    def inside(_: int, __: int) -> int:
        raise raised

    assert run(inside) == f"{code} [False, True]"


@needs_root
@pytest.mark.claim("BLAST-07")
def test_a_stopped_launcher_ends(tmp_path: Path) -> None:
    """A stop from outside: PID 1 ignores its own."""

    def inside(host_proc: int, alive: int) -> int:
        (tmp_path / "pid").write_text(os.readlink("self", dir_fd=host_proc))
        while True:
            time.sleep(1)

    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(run, inside)
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        began = time.monotonic()
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGSTOP)
        assert end.result(20) == "9 [False, True]"
        assert time.monotonic() - began < 10


def test_a_kernel_that_refuses() -> None:
    def look() -> str:
        try:
            run_as_pid_one(lambda *_: 0, beside=nothing, on_end=lambda: None)
        except SandboxError as error:
            return f"{error.code} {bool(error.remedy)}"
        return "went on"

    assert in_restricted_child(look, call="unshare", error=errno.EPERM) == "namespaces_refused True"


def test_without_root_only_the_own_id_is_mapped() -> None:
    def inside(_: int, __: int) -> int:
        maps = Path("/proc/self/uid_map").read_text().split()
        return 42 if maps[0] == "0" and maps[2] == "1" and os.getuid() == 0 else 1

    def look() -> str:
        codecs.lookup("ascii")  # loaded while we may still read where the interpreter lies
        load_kept("user")
        if os.geteuid() == 0:
            os.setresgid(12345, 12345, 12345)
            os.setresuid(12345, 12345, 12345)
            import ctypes

            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable again: its /proc files are its own
        return str(run_as_pid_one(inside, beside=nothing, on_end=lambda: None))

    assert in_child(look) == "42"


class MappedRoot(int):
    """Root's id for the kernel, somebody's for our code: such a child can still be measured."""

    def __bool__(self) -> bool:
        return True


@needs_root
def test_the_namespaces_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: MappedRoot(0))

    def inside(_: int, __: int) -> int:
        maps = Path("/proc/self/uid_map").read_text().split()
        setgroups = Path("/proc/self/setgroups").read_text().strip()
        return 42 if (maps, setgroups) == (["0", "0", "1"], "deny") else 1

    assert run(inside) == "42 [False, True]"


def test_reaping_other_children_first() -> None:
    def look() -> str:
        os.posix_spawn("/bin/true", ["true"], {})
        child = os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 0.2; exit 3"], {})
        found = []
        while not found or found[-1] is None:
            found.append(_reap(child))
            time.sleep(0.02)
        gone = _reap(child)
        return f"{os.waitstatus_to_exitcode(found[-1])} {gone}"

    assert in_child(look) == "3 None"
