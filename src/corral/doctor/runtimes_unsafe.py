"""Ask an OCI runtime for its version.

Trust: operator side. Input: the first line of a program that root installed, cut to 80 characters.
"""

from __future__ import annotations

import subprocess


def read_version(path: str) -> str:
    """Return the first line of a runtime's `--version`."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=False, timeout=10, env={}
        )
    except (OSError, subprocess.SubprocessError):
        return "does not run"
    lines = done.stdout.splitlines()
    return lines[0][:80] if lines else "no version"
