"""Ask OCI runtimes for their versions.

Trust: operator side. Input: the first line of programs that root installed, cut to 80 characters.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


def read_versions(paths: Sequence[str], *, timeout_s: float = 10) -> dict[str, str]:
    """Return, by path, the first line of each runtime's `--version`.

    All are asked at the same time: `corral up` waits for the slowest, not for their sum.
    """
    asked = {path: _start(path) for path in dict.fromkeys(paths)}
    return {path: _first_line(process, timeout_s) for path, process in asked.items()}


def _start(path: str) -> subprocess.Popen[str] | None:
    try:
        return subprocess.Popen(
            [path, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, errors="replace", env={},
        )  # fmt: skip
    except OSError:
        return None


def _first_line(process: subprocess.Popen[str] | None, timeout_s: float) -> str:
    if process is None:
        return "does not run"
    try:
        out, _ = process.communicate(timeout=timeout_s)
    except subprocess.SubprocessError:
        process.kill()
        process.communicate()
        return "does not run"
    lines = out.splitlines()
    return lines[0][:80] if lines else "no version"
