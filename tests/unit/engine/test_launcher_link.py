"""The link to the launcher: replies, refusals, a launcher that goes or talks rubbish."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from corral.core.errors import CorralError, IpcError
from corral.engine.launcher_link import LauncherLink
from corral.ipc.messages import Done, Started, StartEngine, StopWorker, encode_message
from corral.ipc.socket import receive_frame, send_frame, socket_pair
from tests.support.fake_launcher import FakeLauncher

START = StartEngine("t", "m", "0" * 64, False, 512, 1, 1, 1 << 30)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def linked(sock: socket.socket, closed: list[bool] | None = None) -> LauncherLink:
    return LauncherLink(
        sock,
        on_event=lambda _: None,
        on_closed=lambda: closed.append(True) if closed is not None else None,
    )


def test_secrets_and_refusals() -> None:
    async def run() -> None:
        with FakeLauncher() as launcher:
            launcher.secrets = {"pepper": b"p" * 32}
            link = linked(launcher.client)
            assert await link.open_secret("pepper") == b"p" * 32
            with pytest.raises(CorralError) as caught:
                await link.open_secret("tls_key")
            assert caught.value.code == "no_such_secret"
            await link.stop(77)
            assert [w async for w in link.workers()] == []
            link.close()
            with pytest.raises(IpcError):
                await link.gateway_ready()

    asyncio.run(run())


@pytest.mark.parametrize("frame", [b"x", b"\xfe\x00\x00\x00\x01", b""])
def test_a_launcher_that_goes_or_talks_rubbish_ends_the_link(frame: bytes) -> None:
    async def run() -> None:
        ours, theirs = socket_pair()
        closed: list[bool] = []
        link = linked(ours, closed)
        waiting = asyncio.create_task(link.stop(1))
        await asyncio.sleep(0)
        if frame:
            theirs.send(frame)
        else:
            theirs.close()
        with pytest.raises(IpcError):
            await waiting
        assert closed == [True]
        theirs.close()

    asyncio.run(run())


def test_a_worker_that_nobody_waits_for_any_more_is_stopped_and_its_pipes_closed() -> None:
    async def run() -> None:
        ours, theirs = socket_pair()
        link = linked(ours)
        waiting = asyncio.create_task(link.start(START))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        receive_frame(theirs)
        before = open_descriptors()
        reader, writer = os.pipe()
        send_frame(theirs, encode_message(Started(5, 1, "r", "t"), 1), [reader, reader, writer])
        os.close(reader)
        os.close(writer)
        await asyncio.sleep(0.05)
        assert open_descriptors() == before
        frame, _ = receive_frame(theirs)
        assert frame[5:] == encode_message(StopWorker(5), 1)[5:]
        link.close()
        theirs.close()

    asyncio.run(run())


def test_a_reply_of_another_type_is_out_of_protocol() -> None:
    async def run() -> None:
        ours, theirs = socket_pair()
        link = linked(ours)
        waiting = asyncio.create_task(link.start(START))
        await asyncio.sleep(0)
        send_frame(theirs, encode_message(Done(), 1))
        with pytest.raises(IpcError) as caught:
            await waiting
        assert caught.value.code == "unexpected_reply"
        link.close()
        theirs.close()

    asyncio.run(run())
