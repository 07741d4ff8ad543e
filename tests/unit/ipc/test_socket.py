from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from corral.core.errors import IpcError
from corral.core.limits import FRAME_BYTES, FRAME_FDS
from corral.ipc.socket import close_all, receive_frame, send_frame, socket_pair

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    a, b = socket_pair()
    with a, b:
        yield a, b


def open_count() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_frame_with_descriptors(pair: Pair) -> None:
    a, b = pair
    read, write = os.pipe()
    send_frame(a, b"hello", [write])
    frame, fds = receive_frame(b)
    assert frame == b"hello"
    assert not os.get_inheritable(fds[0])
    os.write(fds[0], b"x")
    assert os.read(read, 1) == b"x"
    close_all([read, write, *fds])


def test_sockets_are_not_inherited(pair: Pair) -> None:
    assert not any(sock.get_inheritable() for sock in pair)


def test_no_frame_means_that_the_peer_closed(pair: Pair) -> None:
    pair[0].close()
    assert receive_frame(pair[1]) == (b"", [])


@pytest.mark.claim("LCH-08")
def test_a_frame_over_the_limit_is_refused_and_its_descriptors_are_closed(pair: Pair) -> None:
    a, b = pair
    before = open_count()
    send_frame(a, bytes(FRAME_BYTES))
    assert len(receive_frame(b)[0]) == FRAME_BYTES
    for size in (FRAME_BYTES + 1, FRAME_BYTES + 100):
        socket.send_fds(a, [bytes(size)], [0, 1])
        with pytest.raises(IpcError) as caught:
            receive_frame(b)
        assert caught.value.code == "frame_too_long"
    assert open_count() == before


def test_too_many_descriptors_are_refused_and_closed(pair: Pair) -> None:
    a, b = pair
    before = open_count()
    socket.send_fds(a, [b"x"], [0] * FRAME_FDS)
    close_all(receive_frame(b)[1])
    socket.send_fds(a, [b"x"], [0] * (FRAME_FDS + 3))
    with pytest.raises(IpcError) as caught:
        receive_frame(b)
    assert caught.value.code == "frame_too_long"
    assert open_count() == before


def test_other_ancillary_data_is_no_descriptor(pair: Pair) -> None:
    a, b = pair
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    send_frame(a, b"x")
    assert receive_frame(b) == (b"x", [])


def test_sending_to_nobody(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(IpcError) as caught:
        send_frame(pair[0], b"x")
    assert caught.value.code == "peer_gone"


def test_a_reset_while_receiving() -> None:
    # A peer that closes with data unread resets a Unix connection.
    a, b = socket_pair()
    with b:
        b.send(b"unread")
        a.close()
        with pytest.raises(IpcError) as caught:
            receive_frame(b)
        assert caught.value.code == "peer_gone"


def test_a_non_blocking_socket_without_data(pair: Pair) -> None:
    pair[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        receive_frame(pair[0])
