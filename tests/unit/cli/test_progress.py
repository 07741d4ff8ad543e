"""What a person sees while corral works, on a real terminal and where there is none."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

from corral.admission.progress import Stage
from corral.cli.progress import _WORDS
from tests.support.terminal import terminal

# Each step waits for a line, which comes when the one before was seen.
PULL = """
import sys
from corral.cli.progress import shown_progress
with shown_progress() as show:
    show("fetch", 512 << 10, 2 << 20)
    sys.stdin.readline()
    show("copy", 3 << 20, 3 << 20)
    sys.stdin.readline()
    show("scan", 0, 0)
    sys.stdin.readline()
print("done")
sys.stdin.readline()
"""
LOAD = """
import sys
from corral.cli.progress import shown_load
with shown_load("smol[bold]") as loading:
    sys.stdin.readline()
    loading(0)
    sys.stdin.readline()
    loading(48 << 20)
    sys.stdin.readline()
print("done")
sys.stdin.readline()
"""


def on_a_terminal(program: str) -> tuple[str, ...]:
    return ("env", "TERM=xterm", "COLUMNS=120", sys.executable, "-c", program)


def test_every_stage_has_words() -> None:
    assert set(_WORDS) == set(get_args(Stage))


def test_a_pull_is_drawn_stage_by_stage_with_its_bytes() -> None:
    with terminal(on_a_terminal(PULL)) as screen:
        screen.read_until(b"downloading")
        screen.read_until(b"0.5/2.0 MiB")
        screen.write(b"\n")
        screen.read_until(b"copying and hashing")
        screen.read_until(b"3.0/3.0 MiB")
        screen.write(b"\n")
        screen.read_until(b"scanning in a jail")
        screen.write(b"\n")
        screen.read_until(b"done")


def test_a_load_shows_its_time_and_memory_and_no_percentage() -> None:
    with terminal(on_a_terminal(LOAD)) as screen:
        screen.read_until(b"loading smol[bold] in its sandbox")
        screen.read_until(b"0:00:0")
        screen.write(b"\n")
        screen.read_until(b"loading smol[bold] in its sandbox")
        assert b"in memory" not in screen.shown
        screen.write(b"\n")
        screen.read_until(b"48.0 MiB in memory")
        screen.write(b"\n")
        screen.read_until(b"done")
    assert b"%" not in screen.shown


def test_nothing_is_drawn_where_nobody_looks() -> None:
    for program in (PULL, LOAD):
        done = subprocess.run(
            [sys.executable, "-c", program], input="\n" * 4, capture_output=True, text=True,
            timeout=60, check=True,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("done\n", "")
