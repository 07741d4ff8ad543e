"""A user without any privilege: chat, limits by a delegated control group, doctor."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_user import (
    CGROUPS,
    UID,
    DelegatedGroup,
    as_user,
    check_system_python,
    copy_state,
    install_program,
)
from tests.support.server import MODEL, RunningServer, wait_until

pytestmark = pytest.mark.slow


@dataclass
class Account:
    """The user's files."""

    place: Path
    program: Path
    home: Path

    def run(self, *args: str, group: DelegatedGroup | None = None) -> Any:
        return subprocess.run(
            as_user(self.place, [str(self.program), *args, "--home", str(self.home)]),
            capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
            preexec_fn=group.enter if group else None,
        )  # fmt: skip


@pytest.fixture(scope="module")
def account(model_home: Path) -> Iterator[Account]:
    if os.geteuid() != 0:
        pytest.fail("needs root") if os.environ.get("CI") == "true" else pytest.skip("needs root")
    check_system_python()
    place = Path("/tmp") / f"corral-user-{os.getpid()}"
    place.mkdir(mode=0o755)
    try:
        program = install_program(place)
        yield Account(place, program, copy_state(model_home, place / "home"))
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def group() -> Iterator[DelegatedGroup]:
    if not (CGROUPS / "memory").is_dir():
        pytest.skip("needs control groups of version 1; version 2: tests/unit/sandbox/test_cgroup")
    made = DelegatedGroup(f"corral-user-{os.getpid()}")
    made.make()
    yield made
    made.remove()


def serve(account: Account, group: DelegatedGroup | None, *args: str) -> RunningServer:
    process = subprocess.Popen(
        as_user(account.place, [str(account.program), "up", "--home", str(account.home),
                                "--port", "0", "--print-json", "--allow-degraded=detector",
                                *args]),
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        preexec_fn=group.enter if group else None,  # noqa: PLW1509 - one thread
    )  # fmt: skip
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    api_key, admin_key = json.loads((account.home / "test-keys.json").read_text())
    return RunningServer(
        home=account.home, url=ready["url"], ca_file=ready["ca_file"], api_key=api_key,
        admin_key=admin_key, pid=ready["pid"], process=process,
    )  # fmt: skip


def ask(server: RunningServer) -> str:
    answer = server.openai().chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Say hello."}], max_tokens=8
    )
    return answer.choices[0].message.content or ""


@pytest.mark.claim("SVC-02", "SVC-04")
@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_limits_hold_in_a_delegated_group(
    account: Account, group: DelegatedGroup, runtime: str
) -> None:
    server = serve(account, group, "--runtime", runtime)
    try:
        assert ask(server)
        (worker,) = json.loads(account.run("ps", "--json").stdout)[-1:]
        assert worker["kind"] == "engine"
        assert os.stat(f"/proc/{worker['pid']}").st_uid == UID
        # runc makes one more group inside: limits hold for all that is below.
        (memory,) = [
            path
            for path in group.below()
            if path.name.startswith("engine-")
            and path.parent.name.startswith("serve-")
            and "/memory/" in str(path)
        ]
        assert (
            str(worker["pid"])
            in "".join(procs.read_text() for procs in memory.glob("**/cgroup.procs")).split()
        )
        pids = CGROUPS / "pids" / memory.relative_to(CGROUPS / "memory")
        assert int((memory / "memory.limit_in_bytes").read_text()) < 4 << 30
        assert int((pids / "pids.max").read_text()) < 500
        monitor, launcher = (status(pid) for pid in (server.pid, child_of(server.pid)))
        assert {monitor[name] for name in monitor if name.startswith("Cap")} == {"0" * 16}
        assert int(launcher["CapEff"], 16) == 1 << 18 | 1 << 21 | 1 << 31
        assert launcher["CapBnd"] == launcher["CapEff"]
    finally:
        assert server.stop() == 0
    assert wait_until(lambda: not group.below())


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def cgroup_fact(account: Account, group: DelegatedGroup | None) -> dict[str, str]:
    told = json.loads(account.run("doctor", "--json", group=group).stdout)
    facts = told.get("facts") or told["features"]
    return next(fact for fact in facts if fact["name"] == "cgroup")


@pytest.mark.claim("HOST-04")
def test_gvisor_without_root(
    account: Account, group: DelegatedGroup, needs_runtime: Callable[[str], None]
) -> None:
    needs_runtime("runsc")
    server = serve(account, group, "--tier", "gvisor")
    try:
        assert ask(server)
        (worker,) = [w for w in json.loads(account.run("ps", "--json").stdout)
                     if w["kind"] == "engine"]  # fmt: skip
        sentry = Path(f"/proc/{worker['pid']}")
        assert os.stat(sentry).st_uid == UID
        for kind in ("user", "net", "mnt", "ipc"):
            assert os.readlink(sentry / "ns" / kind) != os.readlink(f"/proc/self/ns/{kind}")
        status = dict(line.split(":\t") for line in (sentry / "status").read_text().splitlines())
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert any(path.name.startswith("engine-") for path in group.below())
    finally:
        assert server.stop(number=signal.SIGTERM) == 0
    told = account.run("doctor", "--tier", "gvisor", "--json", group=group)
    (fact,) = [f for f in json.loads(told.stdout)["facts"] if f["name"] == "runtime"]
    assert fact["detail"] == "runsc (tier gvisor, its sentry with this user's own id)"


@pytest.mark.claim("SVC-04")
def test_doctor_tells_a_delegated_group_from_none(account: Account, group: DelegatedGroup) -> None:
    fact = cgroup_fact(account, group)
    assert fact["state"] == "enforced"
    assert "delegated to this user" in fact["detail"]
    assert cgroup_fact(account, None)["state"] == "absent"


@pytest.mark.claim("SVC-04")
def test_without_a_group_only_by_name(account: Account) -> None:
    refused = account.run("up", "--port", "0", "--json")
    assert refused.returncode == 1
    error = json.loads(refused.stdout)["error"]
    assert error["code"] == "feature_missing"
    assert "control groups of version 1" in error["remedy"]  # what this very host needs
    server = serve(account, None, "--allow-degraded=cgroup")
    try:
        assert ask(server)
    finally:
        assert server.stop(number=signal.SIGTERM) == 0


LOOK_ALIKE = """
import sys
from dataclasses import replace
from pathlib import Path
from corral.cli.scope_unsafe import settle_scope
from corral.core.config import Config
from corral.service.scope import Surroundings
if sys.argv[1:] == ["again"]:
    here = replace(
        Surroundings.look(), unified=True, manager=True, program=sys.argv[0] + ".run",
        handed=frozenset({"cpu", "memory", "pids"}),
    )
    settle_scope(Config(), here)
print("went on")
"""


@pytest.mark.claim("SVC-11")
def test_a_scope_is_entered_in_place_of_the_process(account: Account) -> None:
    """As this user, really without control groups; a script stands for systemd-run."""
    program = account.place / "look_alike.py"
    program.write_text(LOOK_ALIKE)
    stand_in = account.place / "look_alike.py.run"
    stand_in.write_text('#!/bin/sh\necho "$CORRAL_SCOPE $$ $*"\n')
    stand_in.chmod(0o755)
    python = str(account.place / "venv/bin/python3")
    started = subprocess.Popen(
        as_user(account.place, [python, str(program), "again"]), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    out, err = started.communicate(timeout=60)
    assert out.split() == [
        "entered", str(started.pid), "--user", "--scope", "--quiet", "--collect",
        "--property=Delegate=yes", "--", python, str(program), "again",
    ]  # fmt: skip
    assert "starting again in a scope" in err
