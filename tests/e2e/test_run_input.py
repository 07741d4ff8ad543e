"""What comes on stdin of `corral run`, through the real command and a real worker."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.server import CORRAL, MODEL, degraded_options
from tests.support.terminal import terminal


def ask(home: Path, typed: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(CORRAL), "run", MODEL, "-", "--max-tokens", "4", "--json", "--home", str(home),
         *degraded_options()],
        input=typed, capture_output=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_prompt_over_the_limit_is_refused_by_code(home: Path) -> None:
    done = ask(home, b"x" * (2 << 20))
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "prompt_too_long"
    assert b"Traceback" not in done.stderr


def test_a_prompt_just_below_it_is_refused_by_the_wire(home: Path) -> None:
    done = ask(home, b"x" * (1 << 20))  # with the words around it, it is over the limit
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "prompt_too_long"
    assert b"Traceback" not in done.stderr


def test_a_prompt_that_is_no_utf_8_is_answered(home: Path) -> None:
    done = ask(home, b"caf\xe9 \xff?")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["usage"]["completion_tokens"] >= 1


def test_a_chat_goes_on_after_a_turn_that_is_too_long(home: Path) -> None:
    (home / "corral.toml").write_text("[engine]\ncontext_tokens = 256\n")
    command = (str(CORRAL), "run", MODEL, "--max-tokens", "4", "--home", str(home),
               *degraded_options())  # fmt: skip
    with terminal(command) as screen:
        screen.read_until(b">>> ")
        screen.write(b"many words " * 200 + b"\n")
        screen.read_until(b"context_length_exceeded")
        screen.read_until(b">>> ")
        screen.write(b"/clear\n")
        screen.read_until(b"forgotten")
        screen.write(b"Hi!\n")
        screen.read_until(b">>> ")
        screen.write(b"/bye\n")
        assert screen.process.wait(60) == 0
