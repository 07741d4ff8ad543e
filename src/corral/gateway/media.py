"""Images and sounds of requests, decoded in a jail for each request; tenants in turn.

Trust: gateway [net]. Input: hostile files, of which nothing is parsed here but their first bytes
are compared; hostile bytes of a jail's stdout, which `media.wire.Reading` counts. A breach, silence
or the jail's end is a finding of the file that it had, and costs that request alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from corral.core.errors import CorralError, IpcError
from corral.core.ids import TenantName
from corral.core.limits import MEDIA_JAILS
from corral.engine.media_bounds import MEDIA_BYTES
from corral.gateway.jail_pipes import JailPipes, Pipes
from corral.gateway.lookup_pool import LookupPool
from corral.gateway.tenant_turns import TenantTurns
from corral.guard.input_chain import Seen
from corral.guard.media import judge_media
from corral.guard.policy import SanitationPolicy
from corral.ipc.messages import Started, StartMedia
from corral.media.formats import Format, sniff
from corral.media.fresh import fresh_file
from corral.media.upload import Upload
from corral.media.wire import Broken, Decoded, Outcome, Reading, Refused, Task, encode_task
from corral.telemetry.log import get_logger

_log: Final = get_logger("gateway.media")

_JAIL_S: Final = 45.0
"""All files of a request; the jail's own processor time ends before."""
_READ_BYTES: Final = 256 * 1024


class Launcher(Protocol):
    """What starts and ends jails; `engine.launcher_link.LauncherLink` is one."""

    async def start(self, message: StartMedia) -> tuple[Started, Pipes]:
        """Start one."""

    async def stop(self, worker_id: int) -> None:
        """End one."""


class Taken(NamedTuple):
    """What became of a request's files.

    Attributes:
        fresh: PNG and WAV files made anew, one for each; all of them unless it is refused.
        seen: what was in them.
        refused: for what the request is refused; None if it is not.
    """

    fresh: tuple[bytes, ...]
    seen: tuple[Seen, ...]
    refused: Seen | None


class MediaDecoder:
    """The media jails of one gateway; for one event loop.

    Args:
        launcher: starts them.
        beside: threads in which new files are written.
    """

    def __init__(self, launcher: Launcher, beside: LookupPool) -> None:
        self._launcher = launcher
        self._beside = beside
        self._places = asyncio.Semaphore(MEDIA_JAILS)
        self._turns = TenantTurns()

    async def take(
        self, tenant: TenantName, policy: SanitationPolicy, uploads: Sequence[Upload]
    ) -> Taken | None:
        """Return what becomes of a request's files; None if no jail can be had now."""
        told: list[Format] = []
        for upload in uploads:
            if upload.format is None or sniff(upload.data) != upload.format:
                seen, refused = judge_media(policy, upload.param, ["media_type"])
                return Taken((), seen, refused)
            told.append(upload.format)
        # One request of each tenant waits here, whatever it sends: tenants take turns.
        async with self._turns.take(tenant), self._places:
            return await self._in_a_jail(tenant, policy, uploads, told)

    async def _in_a_jail(
        self, tenant: TenantName, policy: SanitationPolicy, uploads: Sequence[Upload],
        told: Sequence[Format],
    ) -> Taken | None:  # fmt: skip
        jail = await self._started()
        if jail is None:
            return None
        fresh: list[bytes] = []
        seen: tuple[Seen, ...] = ()
        try:
            async with asyncio.timeout(_JAIL_S) as patience:
                for upload, format_ in zip(uploads, told, strict=True):
                    outcome = await _answered(jail, _task(policy, format_, upload), upload.data)
                    file, kinds = await self._made(tenant, outcome)
                    if sum(map(len, fresh)) + len(file) > MEDIA_BYTES:
                        kinds = ["media_too_large"]
                    found, refused = judge_media(policy, upload.param, kinds)
                    seen += found
                    if refused is not None:
                        return Taken((), seen, refused)
                    fresh.append(file)
        except TimeoutError:
            if not patience.expired():
                raise
            found, refused = judge_media(policy, uploads[len(fresh)].param, ["media_crash"])
            return Taken((), seen + found, refused)
        finally:
            await self._end(jail)
        return Taken(tuple(fresh), seen, None)

    async def _started(self) -> JailPipes | None:
        """Start a jail; one whose client goes away meanwhile is ended and not forgotten."""
        starting = asyncio.ensure_future(self._start())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            jail = await starting
            if jail is not None:
                await self._end(jail)
            raise

    async def _start(self) -> JailPipes | None:
        try:
            started, pipes = await self._launcher.start(StartMedia())
        except CorralError as error:
            _log.error("media_jail_failed", reason=error.code)
            return None
        return await JailPipes.take(started.worker_id, pipes, limit_bytes=_READ_BYTES)

    async def _made(self, tenant: TenantName, outcome: Outcome) -> tuple[bytes, list[str]]:
        """Return the file made anew, and what was in the one that came."""
        match outcome:
            case Decoded(said):
                file = await self._beside.run(tenant, lambda: fresh_file(outcome))
                return file, list(said.found)
            case Refused(kind):
                return b"", [kind]
            case Broken():
                _log.warning("media_decoder_ended")
                return b"", ["media_crash"]

    async def _end(self, jail: JailPipes) -> None:
        jail.close()
        try:
            await self._launcher.stop(jail.worker_id)
        except IpcError:
            return  # the launcher has gone, and its jails with it


def _task(policy: SanitationPolicy, format_: Format, upload: Upload) -> Task:
    options = policy.options
    return Task(
        format_, len(upload.data), options.image_pixels_max, options.image_side_max,
        options.audio_seconds_max,
    )  # fmt: skip


async def _answered(jail: JailPipes, task: Task, data: bytes) -> Outcome:
    """Return what a jail says of one file."""
    reading = Reading(task)
    try:
        jail.writer.write(encode_task(task))
        jail.writer.write(data)
        await jail.writer.drain()
        while True:
            outcome = reading.feed(await jail.reader.read(_READ_BYTES))
            if outcome is not None:
                return outcome
    except (OSError, RuntimeError):  # uvloop's word for a pipe that has been closed
        return Broken()
