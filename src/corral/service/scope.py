"""A control group for a user's own shell: start again in a scope of the user's systemd.

Trust: operator side; runs before anything was started. Input: the operator's environment and files
of the kernel. A login shell shares its group with other programs, so nobody can make limits below
it; a transient scope with `Delegate=yes` is a group of this process alone (systemd-run(1),
https://systemd.io/CGROUP_DELEGATION).
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError

VARIABLE: Final = "CORRAL_SCOPE"
"""`no`: the operator wants no scope. `entered`: this is the second start, so that a scope which was
of no use is not entered for ever."""
_NEEDED: Final = frozenset({"cpu", "memory", "pids"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the decision depends on, read once.

    Attributes:
        unified: control groups are of version 2; version 1 is not given to users by systemd.
        runtime_dir: `$XDG_RUNTIME_DIR`, or where it would be.
        manager: whether this user's systemd listens there.
        handed: controllers that this user's systemd was given, hence can hand on.
        program: path of systemd-run; empty if there is none.
    """

    uid: int
    environ: Mapping[str, str]
    unified: bool
    runtime_dir: Path
    manager: bool
    handed: frozenset[str]
    program: str

    @classmethod
    def look(
        cls, root: Path = Path("/sys/fs/cgroup"), sessions: Path = Path("/run/user")
    ) -> Surroundings:
        """Read them from this process and its host."""
        uid = os.geteuid()
        runtime_dir = Path(os.environ.get("XDG_RUNTIME_DIR") or sessions / str(uid))
        group = root / f"user.slice/user-{uid}.slice/user@{uid}.service"
        try:
            handed = frozenset((group / "cgroup.controllers").read_text().split())
        except OSError:
            handed = frozenset()
        return cls(
            uid=uid, environ=dict(os.environ), unified=(root / "cgroup.controllers").exists(),
            runtime_dir=runtime_dir, manager=(runtime_dir / "systemd/private").is_socket(),
            handed=handed, program=shutil.which("systemd-run") or "",
        )  # fmt: skip

    def missing(self) -> str:
        """Return what keeps a scope from being of use, as a remedy; empty if nothing does."""
        if not self.unified:
            return (
                "systemd gives users no control groups of version 1: boot with version 2, or run "
                "as root"
            )
        if not self.manager:
            return (
                f"no systemd of this user listens in {self.runtime_dir}: log in by ssh or at a "
                "terminal rather than by su, or: loginctl enable-linger"
            )
        if lacking := sorted(_NEEDED - self.handed):
            return (
                f"root must let systemd hand on {' '.join(lacking)}: systemctl edit user@.service, "
                "there [Service] Delegate=cpu memory pids"
            )
        return "" if self.program else "install systemd-run, which is part of systemd"


@dataclass(frozen=True, slots=True)
class StartAgain:
    """Run this in place of the process."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]


def choose_scope(here: Surroundings, command: Sequence[str]) -> StartAgain:
    """Return how to start again, for a user's process that has no control groups.

    Args:
        here: the surroundings.
        command: how this process was started: interpreter, its options, program, words.

    Raises:
        CorralError: code `feature_missing`: a scope is not to be had or not wanted; the remedy is
            the one for this host.
    """
    if here.environ.get(VARIABLE) == "entered":
        raise _no_groups("systemd made a scope without controllers: run as root")
    if "NOTIFY_SOCKET" in here.environ:
        # A unit: its manager would lose sight of a process in another group.
        raise _no_groups("the unit that runs this needs Delegate=cpu memory pids")
    if missing := here.missing():
        raise _no_groups(missing)
    before = ("--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes", "--")
    line = (here.program, *before, *command)
    if here.environ.get(VARIABLE) == "no":
        raise _no_groups(f"run it in a scope: {shlex.join(line)}")
    environ = {**here.environ, VARIABLE: "entered", "XDG_RUNTIME_DIR": str(here.runtime_dir)}
    return StartAgain(line, environ)


def _no_groups(remedy: str) -> CorralError:
    return CorralError(
        "feature_missing",
        "this host grants this user no cgroup with memory, pids and cpu controllers to bound jails",
        remedy=f"{remedy}; or accept rlimits alone: --allow-degraded=cgroup",
    )
