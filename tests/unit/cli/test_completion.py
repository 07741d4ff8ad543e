"""Completion as bash does it, by the script that corral itself prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CORRAL = Path(sys.executable).parent / "corral"
COMPLETE = """
PATH="$2:$PATH"
eval "$(corral --show-completion)"
read -ra COMP_WORDS <<< "$1"
[[ "$1" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_corral_completion corral
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(typed: str) -> list[str]:
    """Return what bash offers after `typed` and a press of Tab."""
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", COMPLETE, "bash", typed, str(CORRAL.parent)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("corral re", ["release", "reload", "restore"]),
        ("corral key ", ["create", "list", "rotate", "revoke"]),
        ("corral ps --qu", ["--quarantined"]),
        ("corral nonsen", []),
    ],
)
def test_verbs_and_options_are_completed(typed: str, offered: list[str]) -> None:
    assert completed(typed) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    """What `--show-completion` prints in such a shell; asked for by the shell's own protocol."""
    done = subprocess.run(
        [str(CORRAL)], capture_output=True, text=True, timeout=60, check=True,
        env={"_CORRAL_COMPLETE": f"source_{shell}", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert f"complete_{shell}" in done.stdout
