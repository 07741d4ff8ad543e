from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from corral.cli.up_unsafe import parse_ready, work_apart, work_beside
from corral.core.errors import CorralError
from tests.support.children import ended

STARTER = """
import os, sys
from corral.cli.up_unsafe import become_launcher

launcher = sys.argv[1]
become_launcher(
    lambda fd: [sys.executable, "-c", launcher, str(fd)],
    # One write for a line: two processes have this pipe.
    announce=lambda host, port: os.write(1, f"ready {host} {port}\\n".encode()),
    complain=lambda error: os.write(1, f"failed {error.code}\\n".encode()),
)
"""


INHERITING = """
import os, sys
from corral.cli.up_unsafe import become_launcher
from corral.control.sealed_key import key_memory, seal_key

key = seal_key(key_memory(), b"k" * 32)


def found():
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return sum(os.path.lexists(link) and "memfd" in os.readlink(link) for link in links)


assert found() == 1
launcher = '''
import os, sys
os.write(1, b"got " + os.pread(int(sys.argv[2]), 99, 0) + bytes([10]))
os.write(int(sys.argv[1]), b'{"host": "h", "port": 1}' + bytes([10]))
'''
become_launcher(
    lambda fd: [sys.executable, "-c", launcher, str(fd), str(key)],
    announce=lambda host, port: os.write(1, f"beside {found()}\\n".encode()),
    complain=lambda error: None,
    inherit=(key,),
)
"""


def started(launcher: str) -> tuple[list[str], int, int]:
    with ended(
        subprocess.Popen(
            [sys.executable, "-c", STARTER, launcher], stdout=subprocess.PIPE, text=True
        )
    ) as process:
        out, _ = process.communicate(timeout=30)
        return out.split(), process.returncode, process.pid


def test_the_process_becomes_the_launcher_and_a_child_announces_it() -> None:
    words, code, pid = started(
        "import os, sys\n"
        "fd = int(sys.argv[1])\n"
        'os.write(fd, b\'{"host": "127.0.0.1", "port": 7}\\n\')\n'
        "os.close(fd)\n"
        "os.write(1, f'pid {os.getpid()}\\n'.encode())\n"
        "sys.exit(5)"
    )
    assert code == 5
    assert sorted(words) == sorted(["ready", "127.0.0.1", "7", "pid", str(pid)])


def test_a_launcher_that_dies_early_is_reported() -> None:
    assert started("import sys; sys.exit(3)")[:2] == (["failed", "start_failed"], 3)


def test_the_launchers_own_words_are_passed_on() -> None:
    line = '{"error": {"code": "bind_failed", "message": "m", "remedy": "r"}}'
    program = f"import os, sys; os.write(int(sys.argv[1]), {line!r}.encode()); sys.exit(1)"
    assert started(program)[:2] == (["failed", "bind_failed"], 1)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"null", b"{", b'{"error": 1}', b'{"host": 1}']
)
def test_any_other_line_is_a_failed_start(line: bytes) -> None:
    state = parse_ready(line)
    assert isinstance(state, CorralError)
    assert state.code == "start_failed"


def test_work_beside_is_done_by_another_process_and_its_result_is_whole() -> None:
    def work() -> bytes:
        return f"{os.getpid()} ".encode() + b"x" * 200_000

    with work_beside(work) as result:
        pid, text = result().split()
    assert int(pid) != os.getpid()
    assert text == b"x" * 200_000
    with pytest.raises(ChildProcessError):
        os.waitpid(int(pid), 0)


def test_work_beside_that_fails_gives_nothing_and_none_outlives_the_block() -> None:
    def fail() -> bytes:
        os.close(2)  # its traceback is of no interest here
        raise ValueError

    with work_beside(fail) as result:
        assert result() == b""

    def sleep() -> bytes:
        time.sleep(60)
        return b""

    began = time.monotonic()
    with pytest.raises(KeyError), work_beside(sleep):
        raise KeyError
    assert time.monotonic() - began < 30


@pytest.mark.claim("REST-12")
def test_only_the_launcher_inherits_what_is_handed_over() -> None:
    with ended(
        subprocess.Popen([sys.executable, "-c", INHERITING], stdout=subprocess.PIPE, text=True)
    ) as process:
        out, _ = process.communicate(timeout=30)
    assert sorted(out.splitlines()) == ["beside 0", f"got {'k' * 32}"]


def test_work_apart_is_waited_for_and_what_fails_gives_nothing() -> None:
    known: list[bytes] = []

    def learn() -> bytes:
        known.append(b"secret")
        return f"{os.getpid()}".encode()

    assert int(work_apart(learn)) != os.getpid()
    assert known == []

    def fail() -> bytes:
        os.close(2)  # its traceback is of no interest here
        raise MemoryError

    assert work_apart(fail) == b""
