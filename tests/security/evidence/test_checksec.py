"""checksec on what holds hostile input: the live engine worker, the library that it has mapped."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corral.cli.job_unsafe import job_launcher
from corral.core.home import Home
from tests.security.syscalls.live_zones import ENGINE, started
from tests.support.server import copy_home


@pytest.fixture(scope="module")
def checked(needs_tool: Callable[[str], str]) -> Callable[[Path], dict[str, str]]:
    program = needs_tool("checksec")

    def check(path: Path) -> dict[str, str]:
        done = subprocess.run(
            [program, f"--file={path}", "--output=json"], capture_output=True, text=True,
            check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        (found,) = json.loads(done.stdout).values()
        return dict(found)

    return check


@pytest.fixture(scope="module")
def rootfs(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(model_home, tmp_path_factory.mktemp("checksec") / "home") / "images"


@pytest.fixture(scope="module")
def worker(rootfs: Path) -> Iterator[int]:
    """Yield the process id of a worker that is ready to answer."""
    with (
        job_launcher(Home(rootfs.parent), {}) as launcher,
        started(launcher, ENGINE) as (pid, stdout),
    ):
        ready = os.read(stdout, 65536)
        assert b'"ready"' in ready, ready
        yield pid


@pytest.mark.claim("SVC-09")
def test_the_live_worker(
    worker: int, needs_root: None, needs_tool: Callable[[str], str], record: Callable[..., None]
) -> None:
    found = of_process(needs_tool("checksec"), worker)
    assert (found["seccomp"], found["nx"]) == ("bpf", "yes")
    assert found["relro"] in {"partial", "full"}
    record("checksec", "the live engine worker and its interpreter (of this host)",
           f"{facts(found)}, seccomp {found['seccomp']}")  # fmt: skip
    # Control: a process that nobody filtered is told from it.
    assert of_process(needs_tool("checksec"), os.getpid())["seccomp"] == "no"


@pytest.mark.claim("SVC-09")
def test_the_library_that_it_has_mapped(
    checked: Callable[[Path], dict[str, str]], worker: int, rootfs: Path, needs_root: None,
    record: Callable[..., None],
) -> None:  # fmt: skip
    maps = [line.split() for line in Path(f"/proc/{worker}/maps").read_text().splitlines()]
    executable = {one[5] for one in maps if "x" in one[1] and len(one) > 5 and one[5][0] == "/"}
    (library,) = (path for path in executable if "/xllamacpp/" in path)
    (file,) = (path for path in rootfs.glob(f"*/rootfs{library}"))
    # checksec follows links, /proc/PID/root among them: it is given the same file by another name.
    assert os.path.samestat(os.stat(f"/proc/{worker}/root{library}"), file.stat())
    found = checked(file)
    assert (found["nx"], found["canary"], found["pie"]) == ("yes", "yes", "dso")
    assert found["relro"] in {"partial", "full"}
    assert (found["rpath"], found["runpath"]) == ("no", "no")
    record("checksec", "the engine's library in that worker (prebuilt wheel)", facts(found))


def of_process(program: str, pid: int) -> dict[str, str]:
    """Return what checksec says about a live process itself, without its libraries."""
    done = subprocess.run(
        [program, f"--proc-libs={pid}", "--format=json"], capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    said = re.search(r'"proc": (\{[^}]*\})', done.stdout)
    assert said, (done.stdout, done.stderr)
    found: dict[str, str] = json.loads(said[1])
    assert found["pid"] == str(pid)
    return found


def facts(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {found[name]}" for name in ("relro", "nx", "pie", "canary"))


@pytest.mark.claim("SVC-09")
def test_a_program_without_them_is_told_from_others(
    checked: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    weak = tmp_path / "weak"
    code = tmp_path / "weak.s"
    code.write_text(".globl _start\n_start: mov $60, %eax\nsyscall\n")
    flags = ["-nostdlib", "-static", "-no-pie", "-Wl,-z,execstack", "-Wl,-z,norelro"]
    made = subprocess.run(["cc", *flags, "-o", str(weak), str(code)], check=False)
    if made.returncode:
        pytest.fail("no compiler") if os.environ.get("CI") == "true" else pytest.skip("no compiler")
    found = checked(weak)
    assert (found["nx"], found["pie"], found["relro"]) == ("no", "no", "no")
