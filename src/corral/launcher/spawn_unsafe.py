"""Write a bundle and have an OCI runtime start it; remove it after its end.

Trust: trusted base. Input: compiled policies only. The runtime's command returns when the jail
runs; the jail's first process is then our child, because we are its PID 1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from corral.core.errors import SandboxError
from corral.core.limits import FRAME_FDS
from corral.jail.hardware_unsafe import claim_core
from corral.launcher.events import EventLog
from corral.launcher.stage import BUNDLES, RUNTIME
from corral.sandbox.cgroup import CgroupHost, CgroupLimits
from corral.sandbox.runtimes import Runtime

_FIRST_EXTRA_FD: Final = 3
_START_SECONDS: Final = 30
_ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass(frozen=True, slots=True)
class Stdio:
    """The jail's side of its three streams."""

    stdin: int
    stdout: int
    stderr: int


def start_bundle(
    runtime: Runtime, name: str, document: dict[str, Any], stdio: Stdio, extra_fds: Sequence[int],
    cgroups: CgroupHost, cgroup_path: str, log: EventLog, *, own_core: bool = False,
) -> int:  # fmt: skip
    """Start a jail and return the id of its first process, now our child.

    Args:
        runtime: which runtime, chosen by probing or by the operator.
        name: unique name of the jail.
        document: `config.json`.
        stdio: descriptors that become 0, 1 and 2 in the jail.
        extra_fds: descriptors that become 3, 4, … in the jail.
        cgroups: how the host offers cgroups.
        cgroup_path: the jail's group, made here if the runtime does not.
        log: gets the runtime's own last words if it fails.
        own_core: the jail gets a core-scheduling cookie.

    Raises:
        SandboxError: code `jail_failed`; nothing is left running.
    """
    bundle = BUNDLES / name
    bundle.mkdir(mode=0o711)
    pid_file = bundle / "pid"
    resources = document["linux"].get("resources")
    enters = bool((runtime.keeps_cgroup or cgroups.delegated) and cgroup_path)
    if enters:
        # A runtime without root would refuse what we do ourselves just below.
        for key in ("cgroupsPath", "resources"):
            document["linux"].pop(key, None)
    (bundle / "config.json").write_text(json.dumps(document))
    steps: list[Callable[[], None]] = [claim_core] if own_core else []
    kept = _line_up(extra_fds)
    try:
        if enters:
            cpu = resources["cpu"]
            memory = resources["memory"]
            limits = CgroupLimits(memory["limit"], resources["pids"]["limit"] + 64,
                                  cpu["shares"], cpu.get("quota", 0),
                                  cpu.get("cpus", ""), "swap" in memory)  # fmt: skip
            cgroups.create(cgroup_path, limits)
            steps.append(partial(cgroups.enter, cgroup_path))
        done = subprocess.run(
            runtime.run_argv(state=str(RUNTIME), bundle=str(bundle), pid_file=str(pid_file),
                             name=name, fds=len(extra_fds)),
            stdin=stdio.stdin, stdout=stdio.stdout, stderr=stdio.stderr, pass_fds=kept,
            env=_ENVIRONMENT, check=False, timeout=_START_SECONDS,
            # SAFETY: one thread; the child only writes its own id into cgroup files before exec,
            # and asks for a cookie.
            preexec_fn=(lambda: [step() for step in steps]) if steps else None,
        )  # fmt: skip
        if done.returncode == 0:
            return int(pid_file.read_text())
        reason = f"the runtime exited with {done.returncode}"
        log.write("runtime_failed", runtime=runtime.name, detail=_last_words(bundle / "log"))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        reason = type(error).__name__
    finally:
        reserve_fds()
    remove_bundle(runtime, name, cgroups, cgroup_path)
    raise SandboxError(
        "jail_failed", f"the jail could not be started ({runtime.name}: {reason})",
        remedy="run: corral doctor",
    )  # fmt: skip


def remove_bundle(runtime: Runtime, name: str, cgroups: CgroupHost, cgroup_path: str) -> None:
    """Remove everything that is left of an ended or half-started jail."""
    if (RUNTIME / name).exists() or runtime.keeps_cgroup:
        try:
            subprocess.run(
                runtime.delete_argv(state=str(RUNTIME), name=name),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT, check=False, timeout=_START_SECONDS,
            )  # fmt: skip
        except subprocess.SubprocessError:
            cgroups.kill_all(cgroup_path)
    if cgroup_path:
        cgroups.kill_all(cgroup_path)
        cgroups.remove(cgroup_path)
    shutil.rmtree(BUNDLES / name, ignore_errors=True)
    shutil.rmtree(RUNTIME / name, ignore_errors=True)


def reserve_fds() -> None:
    """Occupy the low descriptors, so that nothing else ever sits where a jail's extras go."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in range(_FIRST_EXTRA_FD, _FIRST_EXTRA_FD + FRAME_FDS):
        if number != null:
            os.dup2(null, number, inheritable=False)
    if null >= _FIRST_EXTRA_FD + FRAME_FDS:
        os.close(null)


def _last_words(log: Path) -> str:
    # Written by the runtime before any hostile code runs.
    try:
        return log.read_text(errors="replace")[-600:]
    except OSError:
        return ""


def _line_up(fds: Sequence[int]) -> list[int]:
    # The runtime takes extra descriptors from 3 on; ours were moved out of the way at start.
    lined = []
    for offset, fd in enumerate(fds):
        os.dup2(fd, _FIRST_EXTRA_FD + offset, inheritable=True)
        lined.append(_FIRST_EXTRA_FD + offset)
    return lined
