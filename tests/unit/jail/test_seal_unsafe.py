"""Landlock and the last filter, put up by real processes; what they hold is tried from inside."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from corral.jail import lockdown_unsafe, seal_unsafe
from corral.jail.filter import ALLOW
from corral.jail.seal_unsafe import (
    READ_FILE,
    end_listeners,
    install_filter,
    landlock_version,
    restrict_files,
)
from corral.sandbox.policy import sealed_document
from tests.support.kernel_refusals import in_restricted_child

EVERY_RIGHT = (1 << 13) - 1
HARMLESS = {"call": "unshare"}
ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, ALLOW)

CLOSED = """
import ctypes, errno, os, socket, sys, threading
sys.path.insert(0, sys.argv[1])
from corral.jail.seal_unsafe import READ_FILE, install_filter, restrict_files
from corral.jail.filter import compile_filter
parent, walls = os.getppid(), sys.argv[2]
def tried(action):
    try:
        action()
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
def probes():
    return " ".join(tried(action) for action in (
        lambda: open(__file__).close(), lambda: open("/etc/passwd").close(),
        lambda: os.listdir("/"), lambda: os.kill(parent, 0),
        lambda: socket.create_connection(("127.0.0.1", port)).close(),
    ))
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
go, done, found = threading.Event(), threading.Event(), []
def old_thread():
    go.wait(); found.append(probes()); done.set()
threading.Thread(target=old_thread, daemon=True).start()
"pre-load: " + probes()
libc = ctypes.CDLL(None, use_errno=True)
if "landlock" in walls:
    restrict_files([(__file__, READ_FILE)])
if "filter" in walls:
    libc.prctl(38, 1, 0, 0, 0)
    names = ["read", "write", "futex", "mmap", "munmap", "brk", "exit_group"]
    install_filter(compile_filter([{"names": names}], os.uname().machine))
go.set(); done.wait()
os.write(1, (probes() + "|" + found[0]).encode())
libc._exit(0)
"""


def closed(tmp_path: Path, walls: str) -> str:
    (tmp_path / "closed.py").write_text(CLOSED)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-S", str(tmp_path / "closed.py"), str(Path("src").absolute()), walls],
        capture_output=True, text=True, check=False, env=environment, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.claim("SEAL-03")
def test_landlock_leaves_the_allowed_file_and_nothing_else(tmp_path: Path) -> None:
    assert closed(tmp_path, "none") == "ok ok ok ok ok|ok ok ok ok ok"
    new, old = closed(tmp_path, "landlock").split("|")
    assert new == "ok EACCES EACCES EPERM EACCES"
    assert old == "ok ok ok ok ok", "threads that were there before are not reached: ADR 11"


@pytest.mark.claim("SEAL-03")
def test_the_filter_reaches_threads_that_were_there_before(tmp_path: Path) -> None:
    assert closed(tmp_path, "filter") == "|".join(["EPERM EPERM EPERM EPERM EPERM"] * 2)


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6, 7])
def test_what_each_version_of_landlock_knows(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    def look() -> str:
        monkeypatch.setattr(seal_unsafe, "landlock_version", lambda: version)
        restrict_files([("/", EVERY_RIGHT)])
        return Path(__file__).name

    assert landlock_version() >= 7
    assert in_restricted_child(look, **HARMLESS) == "test_seal_unsafe.py"


@pytest.mark.claim("SEAL-03")
@pytest.mark.parametrize(("version", "flags"), [(6, 0), (7, 0), (8, 1 << 3), (9, 1 << 3)])
def test_every_thread_is_reached_where_the_kernel_can(
    monkeypatch: pytest.MonkeyPatch, version: int, flags: int
) -> None:
    """A kernel of the future, made up; LANDLOCK_RESTRICT_SELF_TSYNC is bit 3 of the flags."""
    made: list[tuple[int, int]] = []

    def kernel(number: int, *arguments: object) -> int:
        last = arguments[-1]
        assert isinstance(last, ctypes.c_uint)
        made.append((number, last.value))
        if number == 444:
            return version if last.value else os.open("/dev/null", os.O_RDONLY)
        return 0

    monkeypatch.setattr(seal_unsafe, "_call", kernel)
    restrict_files([("/", READ_FILE)])
    assert made == [(444, 1), (444, 0), (445, 0), (446, flags)]


def test_a_kernel_without_landlock() -> None:
    def look() -> str:
        return str(landlock_version())

    call = "landlock_create_ruleset"
    assert in_restricted_child(look, call=call, error=errno.ENOSYS) == "0"
    assert in_restricted_child(look, call=call, error=errno.EOPNOTSUPP) == "0"
    refused = in_restricted_child(look, call=call, error=errno.EACCES)
    assert refused == f"OSError {errno.EACCES}"


@pytest.mark.claim("SEAL-05")
@pytest.mark.parametrize("call", ["landlock_add_rule", "landlock_restrict_self"])
def test_a_refused_ruleset_is_an_error(call: str) -> None:
    def look() -> str:
        restrict_files([("/", READ_FILE)])
        return "went on"

    assert in_restricted_child(look, call=call) == f"OSError {errno.EINVAL}"


def test_the_filter_is_installed() -> None:
    def look() -> str:
        before = Path("/proc/self/status").read_text()
        install_filter(ALLOW_ALL)
        after = Path("/proc/self/status").read_text()
        return f"{_filters(after) - _filters(before)}"

    assert in_restricted_child(look, **HARMLESS) == "1"


BORN_LATE = """
import _thread, ctypes, json, os, sys
sys.path.insert(0, sys.argv[1])
from corral.jail.filter import compile_filter
from corral.jail.seal_unsafe import install_filter
program = compile_filter(json.loads(sys.stdin.read()), os.uname().machine)
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
born = _thread.allocate_lock()
born.acquire()
def live():
    os.write(1, b"born")
    born.release()
# On one core, under a policy that changes threads only where one waits: here, after the seal.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
_thread.start_new_thread(live, ())
install_filter(program)
born.acquire()
os._exit(0)
"""


@pytest.mark.claim("SEAL-02")
@pytest.mark.parametrize("rseq", [True, False])
def test_a_thread_that_is_born_while_the_filter_is_put_on_lives(rseq: bool) -> None:
    """libc ends a process whose new thread cannot register; seen once in thousands of starts."""
    if os.geteuid() != 0:
        assert os.environ.get("CI") != "true", "CI runs as root"
        pytest.skip("needs a real-time policy: root")
    rules = json.loads(sealed_document("engine"))
    kept = [rule for rule in rules if rseq or rule["names"] != ["rseq"]]
    done = subprocess.run(
        [sys.executable, "-S", "-c", BORN_LATE, str(Path("src").absolute())],
        input=json.dumps(kept), capture_output=True, text=True, check=False, timeout=30,
        env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")},
    )  # fmt: skip
    if rseq:
        assert (done.stdout, done.returncode) == ("born", 0), done.stderr
    else:
        assert done.stdout == ""
        assert done.returncode == -signal.SIGSEGV


def _filters(status: str) -> int:
    return int(status.partition("Seccomp_filters:")[2].split()[0])


@pytest.mark.claim("SEAL-05")
def test_a_thread_with_a_filter_of_its_own_is_an_error() -> None:
    def look() -> str:
        ready, end = threading.Event(), threading.Event()

        def stranger() -> None:
            lockdown_unsafe._forbid_exec(ctypes.CDLL(None, use_errno=True))
            ready.set()
            end.wait()

        threading.Thread(target=stranger).start()
        ready.wait()
        try:
            install_filter(ALLOW_ALL)
        finally:
            end.set()
        return "went on"

    assert in_restricted_child(look, **HARMLESS) == f"OSError {errno.ESRCH}"


def test_a_listener_ends() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0corral-test-listener-{os.getpid()}")
        listener.listen()
        ended = threading.Event()

        def accept() -> None:
            with pytest.raises(OSError, match="Invalid argument"):
                listener.accept()
            ended.set()

        thread = threading.Thread(target=accept)
        thread.start()
        assert end_listeners([listener.fileno()]) == 1
        assert ended.wait(10)
        thread.join()
    with socket.socket() as unconnected:
        assert end_listeners([unconnected.fileno()]) == 0
    with pytest.raises(OSError, match="shutdown"):
        end_listeners([-1])
