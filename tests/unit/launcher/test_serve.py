"""What a server binds and reports; its life is tested in tests/integration/launcher."""

from __future__ import annotations

import json
import os
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from corral.core.config import Config, Listen
from corral.core.errors import SandboxError
from corral.core.home import Home
from corral.launcher.serve import bind_control, bind_listener, report_to


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_listens_where_it_is_told(host: str) -> None:
    with bind_listener(replace(Config(), listen=Listen(host, 0))) as listener:
        address = listener.getsockname()
        assert address[0] == host
        with socket.create_connection(address[:2]):
            listener.accept()[0].close()


def test_an_address_that_is_taken() -> None:
    with bind_listener(replace(Config(), listen=Listen(port=0))) as listener:
        taken = replace(Config(), listen=Listen(port=listener.getsockname()[1]))
        with pytest.raises(SandboxError) as caught:
            bind_listener(taken)
    assert caught.value.code == "bind_failed"
    assert caught.value.remedy


def test_the_control_socket_is_the_operators_only(home: Home) -> None:
    here = Path.cwd()
    home.control_socket.touch()  # left by a server that was killed
    with bind_control(home) as control:
        mode = home.control_socket.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        assert control.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    assert Path.cwd() == here
    assert os.umask(0o022) is not None


def test_a_state_folder_with_a_long_name(tmp_path: Path) -> None:
    deep = Home(tmp_path / ("a" * 100) / ("b" * 100))
    deep.run.mkdir(parents=True)
    bind_control(deep).close()
    assert deep.control_socket.is_socket()


def test_a_report_is_one_line_once() -> None:
    read, write = os.pipe()
    report = report_to(write)
    report({"port": 1})
    report({"port": 2})
    with os.fdopen(read) as stream:
        assert [json.loads(line) for line in stream] == [{"port": 1}]


def test_nobody_waits_for_the_report() -> None:
    read, write = os.pipe()
    os.close(read)
    report_to(write)({"port": 1})
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(write)
