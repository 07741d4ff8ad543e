"""Whether a user's process starts again in a scope: decided on values, executed on a fake one."""

from __future__ import annotations

import os
import shlex
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.service.scope import VARIABLE, Surroundings, choose_scope

COMMAND = ("/opt/corral/bin/python3", "-I", "/opt/corral/bin/corral", "up", "--home", "/a b")
LAPTOP = Surroundings(
    uid=1000, environ={"LANG": "C"}, unified=True, runtime_dir=Path("/run/user/1000"),
    manager=True, handed=frozenset({"cpu", "memory", "pids", "io"}), program="/usr/bin/systemd-run",
)  # fmt: skip


@pytest.mark.claim("SVC-11")
def test_an_ordinary_shell_starts_again_in_a_scope_of_its_own() -> None:
    again = choose_scope(LAPTOP, COMMAND)
    assert again.argv == (
        "/usr/bin/systemd-run", "--user", "--scope", "--quiet", "--collect",
        "--property=Delegate=yes", "--", *COMMAND,
    )  # fmt: skip
    assert again.environ == {
        "LANG": "C", VARIABLE: "entered", "XDG_RUNTIME_DIR": "/run/user/1000",
    }  # fmt: skip


@pytest.mark.claim("SVC-11")
@pytest.mark.parametrize(
    ("here", "remedy"),
    [
        (replace(LAPTOP, environ={VARIABLE: "entered"}), "a scope without controllers"),
        (
            replace(LAPTOP, environ={"NOTIFY_SOCKET": "/x"}),
            "the unit that runs this needs Delegate",
        ),
        (replace(LAPTOP, unified=False, manager=False), "boot with version 2"),
        (replace(LAPTOP, manager=False), "loginctl enable-linger"),
        (replace(LAPTOP, handed=frozenset({"memory", "pids"})), "hand on cpu: systemctl edit"),
        (replace(LAPTOP, program=""), "install systemd-run"),
    ],
)
def test_where_a_scope_is_of_no_use_the_remedy_is_this_hosts(
    here: Surroundings, remedy: str
) -> None:
    with pytest.raises(CorralError) as caught:
        choose_scope(here, COMMAND)
    assert caught.value.code == "feature_missing"
    assert remedy in caught.value.remedy
    assert caught.value.remedy.endswith("--allow-degraded=cgroup")


@pytest.mark.claim("SVC-11")
def test_the_operator_may_refuse_and_gets_the_exact_command() -> None:
    with pytest.raises(CorralError) as caught:
        choose_scope(replace(LAPTOP, environ={VARIABLE: "no"}), COMMAND)
    assert shlex.join(choose_scope(LAPTOP, COMMAND).argv) in caught.value.remedy


def test_the_surroundings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    nothing = Surroundings.look(tmp_path / "cgroup", tmp_path / "run")
    assert (nothing.unified, nothing.manager, nothing.program) == (False, False, "")
    assert nothing.handed == frozenset()

    group = tmp_path / "cgroup/user.slice/user-1000.slice/user@1000.service"
    group.mkdir(parents=True)
    for path in (group, tmp_path / "cgroup"):
        (path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "systemd-run").touch(mode=0o755)
    (tmp_path / "run/1000/systemd").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run/1000/systemd")  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as private:
        private.bind("private")
        found = Surroundings.look(tmp_path / "cgroup", tmp_path / "run")
    assert found.missing() == ""
    assert found.runtime_dir == tmp_path / "run/1000"
    assert choose_scope(found, COMMAND).argv[0] == str(tmp_path / "systemd-run")
