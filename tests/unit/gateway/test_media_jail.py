"""The jail of a request whose client goes away while it is being started."""

from __future__ import annotations

import asyncio
import os

import pytest

from corral.core.ids import TenantName
from corral.gateway.lookup_pool import LookupPool
from corral.gateway.media import MediaDecoder
from corral.guard.policy import built_in
from corral.ipc.messages import Started, StartMedia
from corral.media.upload import Upload
from tests.support.media_files import image_file

TENANT = TenantName("acme")


class Launcher:
    """Has a jail ready when it is told so; `theirs` are the jail's ends of its pipes."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stopped: list[int] = []
        self.theirs: list[int] = []

    async def start(self, message: StartMedia) -> tuple[Started, tuple[int, int, int]]:
        self.reached.set()
        (stdin, ours_in), (ours_out, stdout), (ours_err, stderr) = (os.pipe() for _ in range(3))
        self.theirs = [stdin, stdout, stderr]
        await self.ready
        return Started(worker_id=7, pid=1, runtime="crun", tier="namespaces"), (
            ours_in,
            ours_out,
            ours_err,
        )

    async def stop(self, worker_id: int) -> None:
        self.stopped.append(worker_id)


@pytest.mark.claim("MEDIA-19")
def test_a_jail_that_nobody_waits_for_any_more_is_ended() -> None:
    async def gone() -> Launcher:
        launcher = Launcher()
        decoder = MediaDecoder(launcher, LookupPool())
        upload = Upload("messages[0]", "image", "png", image_file("png"))
        task = asyncio.create_task(decoder.take(TENANT, built_in("balanced"), [upload]))
        await launcher.reached.wait()
        # The worst moment: it is there, and nobody has looked yet.
        launcher.ready.set_result(None)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        return launcher

    launcher = asyncio.run(gone())
    assert launcher.stopped == [7]
    assert os.read(launcher.theirs[0], 1) == b"", "our end of its stdin is closed"
    for fd in launcher.theirs:
        os.close(fd)
