"""Run the same probe program outside every jail: the control of each line.

Trust: operator side; runs our own attacks against our own targets. Input: `Targets`. The process
gets own mount, IPC and UTS namespaces, the twin's control group, no terminal and a deadline; a user
without root gets an own user namespace first, so that the control is as strong as that user can be.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import corral
from corral.selftest.conversation import Results, converse
from corral.selftest.targets_unsafe import Targets
from corral.selftest.twin import Twin

_SECONDS: Final = 60.0
_FLOOD_BYTES: Final = 96 << 20
_NEWUSER: Final = 0x10000000
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from corral.selftest.probes.program import main; sys.exit(main())"
)


def run_outside(
    targets: Targets, twin: Twin, *, only: str = "", skip: tuple[str, ...] = (),
    own_user_namespace: bool = False,
) -> tuple[Results, str]:  # fmt: skip
    """Run the controls in one process.

    Returns:
        What it said, and how it ended: `ok`, `exited`, `SIGKILL`, ...
    """
    scratch = targets.folder / f"scratch-{os.urandom(4).hex()}"
    scratch.mkdir(mode=0o700)
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-c", _BOOT, str(Path(corral.__file__).parent.parent)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, env={"CORRAL_SELFTEST": "1"},
        # SAFETY: one thread; the child makes a few system calls before exec.
        preexec_fn=lambda: _settle(  # noqa: PLW1509 - there is no other thread
            twin, own_user_namespace=own_user_namespace
        ),
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - pipes were asked for
    try:
        results = converse(
            (process.stdin.fileno(), process.stdout.fileno(), process.stderr.fileno()),
            targets.request("control", control=True, scratch=str(scratch), only=only, skip=skip),
            seconds=_SECONDS, line_bytes=_FLOOD_BYTES,
        )  # fmt: skip
        process.stdin.close()
        try:
            code = process.wait(5)
        except subprocess.TimeoutExpired:
            code = -9
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
    return results, "ok" if code == 0 else "exited" if code > 0 else f"signal-{-code}"


def _settle(twin: Twin, *, own_user_namespace: bool) -> None:
    twin.enter()
    if not own_user_namespace:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    # SAFETY: a plain integer.
    if libc.unshare(ctypes.c_int(_NEWUSER)):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
