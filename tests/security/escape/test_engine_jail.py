"""A hostile program in the engine's place, started by the real launcher in the shipped profile.

Every attack has its control: the same probe outside the jail must get through (or reach the
kernel's own argument checks), else the line proves nothing and the test fails as invalid.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.jail_job import engine_start, job_launcher, replace_worker
from tests.support.server import copy_home

PROGRAM = Path(__file__).with_name("probe_program.py")
DENIED = {"EPERM", "EACCES", "ENOENT", "EROFS", "ESRCH", "EFBIG", "ENXIO", "ENOSYS",
          "EAFNOSUPPORT", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT"}  # fmt: skip
AF_UNIX = 1
SENTRY_FILES = {"read:/proc/meminfo", "read:/proc/version", "read:/proc/cmdline",
                "read:/proc/net/dev", "read:/sys/class"}  # fmt: skip
"""gVisor shows files of its own kernel here; none tells anything about the host."""
UNPROVABLE = {"syscall:init_module", "syscall:finit_module", "syscall:delete_module",
              "syscall:kexec_load", "syscall:modify_ldt", "syscall:memfd_secret"}  # fmt: skip
"""Calls that some kernels do not have at all: denied inside, but their control is invalid there."""


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> dict:
    """The same probes on the host, as root, in throw-away namespaces: they change nothing."""
    scratch = tmp_path_factory.mktemp("control") / "written"
    done = subprocess.run(
        ["unshare", "-m", "-p", "-f", "-i", "-u", "--mount-proc", sys.executable, str(PROGRAM),
         "--control", str(scratch)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)["results"]


@pytest.fixture(scope="module", params=["crun", "runc", "runsc"])
def inside(request, needs_runtime, model_home, tmp_path_factory) -> dict:
    needs_runtime(request.param)
    home = copy_home(model_home, tmp_path_factory.mktemp("probe") / "home")
    replace_worker(home, PROGRAM)
    with job_launcher(home, sandbox__runtime=request.param) as launcher:
        started, (to_stdin, stdout, stderr) = launcher.start(engine_start())
        with os.fdopen(stdout) as file, os.fdopen(stderr) as errors:
            os.close(to_stdin)
            line = file.readline()
            assert line, errors.read()
        launcher.wait_ended(started.worker_id)
    return json.loads(line) | {"runtime": request.param}


@pytest.mark.claim("SBX-01")
def test_every_forbidden_system_call_is_refused_and_reaches_the_kernel_outside(inside, outside):
    names = [n for n in inside["results"] if n.startswith("syscall:")]
    assert len(names) >= 70
    through = {n: inside["results"][n] for n in names
               if inside["results"][n] not in {"EPERM", "ENOSYS"}}  # fmt: skip
    assert through == {}
    # Control: outside, each call gets past the filter: success, or a complaint about arguments.
    absent = {n for n in names if outside[n] in {"EPERM", "ENOSYS"}}
    assert absent <= UNPROVABLE, absent


@pytest.mark.claim("SBX-02")
def test_sockets_of_every_network_family_fail(inside, outside):
    opened = {n for n, r in inside["results"].items() if n.startswith("socket:") and r == "ok"}
    assert {int(n.split(":")[1]) for n in opened} <= {AF_UNIX}
    assert {"socket:2:1", "socket:2:2", "socket:10:1", "socket:16:3", "socket:17:3"} <= {
        n for n, r in outside.items() if r == "ok"
    }


@pytest.mark.claim("SBX-03")
def test_no_file_but_the_image_and_the_model_can_be_read(inside, outside):
    results = inside["results"]
    read = {n for n, r in results.items() if n.startswith("read:") and r == "ok"}
    assert read <= (SENTRY_FILES if inside["runtime"] == "runsc" else set())
    seen = {n for n, r in outside.items() if n.startswith("read:") and r == "ok"}
    assert {"read:/etc/passwd", "read:/etc/shadow", "read:/proc/kallsyms", "read:/sys/kernel",
            "read:/proc/meminfo"} <= seen  # fmt: skip


@pytest.mark.claim("SBX-04")
def test_nothing_can_be_written(inside, outside):
    results = inside["results"]
    written = {n: r for n, r in results.items() if n.startswith("write:") and r not in DENIED}
    assert written == {}
    assert any(r == "ok" for n, r in outside.items() if n.startswith("write:"))


@pytest.mark.claim("SBX-05")
def test_no_process_can_be_made_run_seen_or_signalled(inside, outside):
    results = inside["results"]
    for name in ("fork", "exec:interpreter", "exec:loader", "signal:others", "see:other-processes"):
        assert results[name] in DENIED, (name, results[name])
    assert outside["fork"] == "ok"


@pytest.mark.claim("SBX-06")
def test_memory_cannot_become_code(inside, outside):
    if inside["runtime"] == "runsc":
        # The sentry knows no MDWE. What the jail maps is the sentry's matter, not the host's.
        assert inside["results"]["memory:rwx"] == "ok"
        return
    assert inside["results"]["memory:rwx"] in DENIED
    assert inside["results"]["memory:gain-exec"] in DENIED
    assert outside["memory:rwx"] == "ok"
    assert outside["memory:gain-exec"] == "ok"


@pytest.mark.claim("SBX-07")
def test_descriptors_environment_and_root_are_bare(inside):
    facts = inside["facts"]
    allowed = {"0", "1", "2", "3"}
    extra = {n: t for n, t in facts["fds"].items() if n not in allowed and "/proc" not in t}
    assert extra == {}
    assert facts["env"] == {}
    assert {"root", "home", "var", "work", "mnt", "boot", "run"} & set(facts["root"]) == set()
