"""The three programs of systemd that installing a service calls.

Trust: operator side. Input: constants; nothing of a tenant or a model gets here.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from corral.core.errors import CorralError

_SECONDS = 90


def manager_runs(*, personal: bool) -> bool:
    """Return whether there is a systemd to talk to (sd_booted(3))."""
    if not Path("/run/systemd/system").is_dir() or not shutil.which("systemctl"):
        return False
    return not personal or _call(["systemctl", "--user", "is-system-running"]).stdout != ""


def systemctl(*words: str, personal: bool) -> None:
    """Run systemctl.

    Raises:
        CorralError: code `systemctl_failed`.
    """
    scope = ["--user"] if personal else []
    _must(["systemctl", *scope, *words], "systemctl_failed")


def make_user() -> None:
    """Make the system user that /etc/sysusers.d/corral.conf describes.

    Raises:
        CorralError: code `user_failed`.
    """
    if not shutil.which("systemd-sysusers"):
        raise CorralError(
            "user_failed", "there is no systemd-sysusers here",
            remedy="sudo useradd --system --home-dir /var/lib/corral corral, then run this again",
        )  # fmt: skip
    _must(["systemd-sysusers", "corral.conf"], "user_failed")


def _must(argv: Sequence[str], code: str) -> None:
    done = _call(argv)
    if done.returncode:
        raise CorralError(
            code, f"{' '.join(argv)} failed: {done.stderr.strip()[-300:]}",
            remedy="run it by hand to see why",
        )  # fmt: skip


def _call(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CorralError("systemctl_failed", f"{argv[0]} did not answer") from error
