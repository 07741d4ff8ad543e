from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import corral
from corral.control.command import job_command, selftest_command, serve_command
from corral.core.home import Home
from corral.launcher.main import _parse

HOME = Home(Path("/home"))


@pytest.mark.parametrize(
    ("make", "mode"),
    [(serve_command, "serve"), (job_command, "job"), (selftest_command, "selftest")],
)
def test_the_launcher_reads_what_the_command_says(make: object, mode: str) -> None:
    argv = make(HOME, {"listen.port": 0, "listen.host": None}, 7)  # type: ignore[operator]
    assert argv[0] == sys.executable
    assert argv[1:4] == ["-I", "-S", "-c"]
    assert argv[5] == str(Path(corral.__file__).parents[1])
    options = _parse(argv[6:])
    assert (options.mode, options.home, options.fd) == (mode, "/home", 7)
    assert json.loads(options.set) == {"listen.port": 0}


def test_what_a_server_inherits_is_in_its_command_as_numbers() -> None:
    options = _parse(serve_command(HOME, {}, 7, 8, 9)[6:])
    assert (options.fd, options.listener, options.master_key) == (7, 8, 9)
    options = _parse(serve_command(HOME, {}, 7)[6:])
    assert (options.listener, options.master_key) == (-1, -1)


@pytest.mark.parametrize("argv", [[], ["other"], ["serve", "--home", "/h"]])
def test_other_command_lines(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _parse(argv)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err
