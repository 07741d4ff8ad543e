"""captest of libcap-ng-utils: a tool of others that tries to get root back.

It runs in the engine's place: real launcher, runtime and profile; only the program differs.
On the host, as root, it succeeds: that is the control.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.core.home import Home
from corral.ipc.messages import StartEngine
from tests.support.patched_launcher import patched_launcher
from tests.support.server import MODEL_SHA256, copy_home

OPENED = [
    "capget",
    "capset",
    "clone",
    "clone3",
    "fork",
    "vfork",
    "wait4",
    "execve",
    "prctl",
    "access",
    "setresuid",
    "setresgid",
    "setuid",
    "setgid",
    "setgroups",
    "getresuid",
    "getresgid",
    "getgroups",
]
"""What captest needs to look and to try; the profile allows almost none of it."""
RUN_IT = """
import corral.launcher.pen as pen
made = pen.compile_bundle
def compile_bundle(*args, **options):
    document = made(*args, **options)
    document["process"]["args"] = ["/opt/python/bin/captest"]
    if OPENED:
        document["linux"]["seccomp"]["syscalls"].append(
            {"names": OPENED, "action": "SCMP_ACT_ALLOW", "args": []})
    return document
pen.compile_bundle = compile_bundle
"""


@pytest.fixture(scope="module")
def captest(needs_tool: Callable[[str], str]) -> Path:
    return Path(needs_tool("captest"))


@pytest.fixture(scope="module")
def jail_with_captest(
    model_home: Path, tmp_path_factory: pytest.TempPathFactory, captest: Path
) -> Home:
    home = Home(copy_home(model_home, tmp_path_factory.mktemp("captest") / "home"))
    (image,) = home.images.glob("engine-*/rootfs")
    shutil.copy2(captest, image / "opt/python/bin/captest")
    linked = subprocess.run(["ldd", str(captest)], capture_output=True, text=True, check=True)
    for path in re.findall(r"=> (/\S+)", linked.stdout):
        inside = image / path.lstrip("/")
        if not inside.exists():
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, inside)
    return home


def said_in_jail(home: Home, runtime: str, opened: list[str]) -> str:
    message = StartEngine(
        tenant="default", model="captest", digest=MODEL_SHA256, quarantined=False,
        context_tokens=512, parallel=1, threads=1, memory_bytes=400 << 20,
    )  # fmt: skip
    statement = f"OPENED = {opened!r}\n{RUN_IT}"
    with patched_launcher(home, {"sandbox.runtime": runtime}, statement) as client:
        started, (stdin, out, err) = client.start(message)
        os.close(stdin)
        with os.fdopen(out) as stream, os.fdopen(err) as errors:
            said = stream.read() + errors.read()
        client.wait_ended(started.worker_id)
    return said


@pytest.mark.claim("SVC-05")
def test_the_shipped_profile_does_not_even_let_it_look(
    jail_with_captest: Home, needs_root: None, record: Callable[..., None]
) -> None:
    said = said_in_jail(jail_with_captest, "auto", [])
    assert said == "Error getting capabilities\n"
    record("captest", "the engine's jail", said.strip())


@pytest.mark.claim("SVC-05")
@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_without_the_system_call_filter_in_its_way_there_is_nothing_to_be_had(
    jail_with_captest: Home, runtime: str, needs_runtime: Callable[[str], None], needs_root: None,
    record: Callable[..., None],
) -> None:  # fmt: skip
    needs_runtime(runtime)
    said = said_in_jail(jail_with_captest, runtime, OPENED)
    assert "Current capabilities: none" in said
    assert "Attempting direct access to shadow...FAILED" in said
    assert "Attempting to access shadow by child process...FAILED" in said
    assert "POSSIBLE" not in said
    words = [line for line in said.splitlines() if "capabilities" in line or "shadow" in line]
    record("captest", f"the same, its system calls allowed for the test ({runtime})",
           "; ".join(words))  # fmt: skip


@pytest.mark.claim("SVC-05")
def test_on_the_host_it_gets_root(
    captest: Path, needs_root: None, record: Callable[..., None]
) -> None:
    said = subprocess.run([captest], capture_output=True, text=True, check=False).stdout
    assert "PRIVILEGE ESCALATION POSSIBLE" in said
    assert "Attempting direct access to shadow...SUCCESS" in said
    record("captest (control)", "this host, as root", "PRIVILEGE ESCALATION POSSIBLE; shadow read")
