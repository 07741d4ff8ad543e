"""Descriptor 3 of a service manager, in a child whose descriptors may be replaced."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.service.activation import take_listener
from tests.support.children import in_child


def passed(make: Callable[[], int], *, count: str = "1", pid: str | None = None) -> str:
    def look() -> str:
        fd = make()
        if fd != 3:
            os.dup2(fd, 3)
        os.environ |= {"LISTEN_FDS": count, "LISTEN_PID": pid or str(os.getpid())}
        try:
            listener = take_listener()
        except CorralError as error:
            return error.code
        left = [name for name in os.environ if name.startswith("LISTEN_")]
        if listener is None:
            return f"none {left}"
        return f"{listener.getsockname()[0]} {os.get_inheritable(3)} {left}"

    return in_child(look)


def listening(host: str = "127.0.0.1", family: int = socket.AF_INET) -> Callable[[], int]:
    def make() -> int:
        sock = socket.socket(family)
        sock.bind((host, 0))
        sock.listen()
        return sock.detach()

    return make


def test_a_listener_is_taken() -> None:
    assert passed(listening()) == "127.0.0.1 False []"
    assert passed(listening("::1", socket.AF_INET6)) == "::1 False []"


@pytest.mark.claim("SVC-03")
def test_what_is_meant_for_another_process_is_not_taken() -> None:
    assert passed(listening(), pid="1") == "none []"
    assert passed(listening(), pid="x") == "none []"


@pytest.mark.claim("SVC-03")
@pytest.mark.parametrize("count", ["0", "2", "", "x"])
def test_exactly_one(count: str) -> None:
    assert passed(listening(), count=count) == "bad_activation"


@pytest.mark.claim("SVC-03")
@pytest.mark.parametrize(
    "make",
    [
        lambda: socket.socket().detach(),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach(),
        lambda: socket.socket(socket.AF_UNIX).detach(),
        lambda: os.open("/dev/null", os.O_RDWR),
    ],
    ids=["not listening", "datagrams", "unix", "no socket"],
)
def test_only_a_listening_tcp_socket(make: Callable[[], int]) -> None:
    assert passed(make) == "bad_activation"


def test_without_a_manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS"):
        monkeypatch.delenv(name, raising=False)
    assert take_listener() is None
