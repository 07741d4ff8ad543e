"""The detector of the guard jail, as the gateway asks it: one text at a time, tenants in turn.

Trust: gateway [net]. Input: hostile bytes of the jail's stdout, each line bounded and checked;
stderr is drained and never kept, since libraries print what they like there. A breach, silence or
the jail's end is a failure: who needs the detector is refused until it has been started again.

A score is remembered under a keyed hash of tenant and text, so that a conversation which grows is
looked at once; the key is this process's own, and no tenant finds what another one has asked.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from corral.core.errors import CorralError, IpcError
from corral.gateway.jail_pipes import JailPipes, Pipes
from corral.gateway.tenant_turns import TenantTurns
from corral.guard.detector_wire import (
    ANSWER_BYTES,
    Answer,
    FromGuard,
    Ready,
    encode_question,
    parse_from_guard,
)
from corral.ipc.messages import Started, StartGuard
from corral.telemetry.log import get_logger

_log: Final = get_logger("gateway.detector")

State = Literal["starting", "absent", "ready", "failed"]

_LOAD_S: Final = 60.0
_ANSWER_S: Final = 20.0
_CHARACTERS_PER_S: Final = 2000
"""At least so much is looked at in a second; windows and views included, on a slow core."""
_BACK_OFF_S: Final = (1.0, 2.0, 5.0, 15.0, 60.0)
_REMEMBERED: Final = 8192
_READ_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Score:
    """What the detector says of one text.

    Attributes:
        probability: of an attack, in the view that looks most like one.
        view: which.
        flag, block: the detector's own thresholds.
    """

    probability: float
    view: str
    flag: float
    block: float


class Launcher(Protocol):
    """What starts and ends the jail; `engine.launcher_link.LauncherLink` is one."""

    async def start(self, message: StartGuard) -> tuple[Started, Pipes]:
        """Start it."""

    async def stop(self, worker_id: int) -> None:
        """End it."""


class Detector:
    """The detector of one gateway; for one event loop.

    Args:
        launcher: starts and ends its jail.
        waived: the operator said that corral may do without one (`--allow-degraded=detector`).

    Attributes:
        state: `starting` until it is known; `absent` where none is installed; `failed` until it has
            been started again.
    """

    def __init__(self, launcher: Launcher, *, waived: bool = False) -> None:
        self.state: State = "starting"
        self._waived = waived
        self._launcher = launcher
        self._jail: _Jail | None = None
        self._tried_s = 0.0
        self._failures = 0
        self._turn = asyncio.Lock()
        self._turns = TenantTurns()
        self._key = secrets.token_bytes(32)
        self._scores: OrderedDict[bytes, Score] = OrderedDict()

    @property
    def needless(self) -> bool:
        """Return whether there is none by the operator's leave."""
        return self._waived and self.state == "absent"

    async def open(self) -> None:
        """Start it at the gateway's start, so that its state is known."""
        async with self._turn:
            await self._started()
        if self.state != "ready":
            _log.warning("detector_" + self.state)

    async def score(self, tenant: str, text: str) -> Score | None:
        """Return the score of a text of a tenant; None if there is no detector that answers."""
        key = hmac.digest(self._key, f"{tenant}\0{text}".encode("utf-8", "surrogatepass"), "sha256")
        known = self._scores.get(key)
        if known is not None:
            self._scores.move_to_end(key)
            return known
        # One text of each tenant waits here, whatever it sends: tenants take turns.
        async with self._turns.take(tenant), self._turn:
            found = await _to_its_end(self._looked(text))
        if found is not None:
            self._scores[key] = found
            if len(self._scores) > _REMEMBERED:
                self._scores.popitem(last=False)
        return found

    async def close(self) -> None:
        """End the jail."""
        jail, self._jail = self._jail, None
        if jail is not None:
            jail.close()
            await self._stop(jail.worker_id)

    async def _looked(self, text: str) -> Score | None:
        jail = await self._started()
        return None if jail is None else await self._asked(jail, text)

    async def _started(self) -> _Jail | None:
        """Return the jail, started if it is time to try; None if there is none."""
        if self._jail is not None:
            return self._jail
        now_s = asyncio.get_running_loop().time()
        wait_s = _BACK_OFF_S[min(self._failures, len(_BACK_OFF_S)) - 1] if self._failures else 0.0
        if self._tried_s and (self.state == "absent" or now_s < self._tried_s + wait_s):
            return None
        self._tried_s = now_s
        try:
            started, pipes = await self._launcher.start(StartGuard())
        except IpcError:
            self._failed("launcher_gone")
            return None
        except CorralError as error:
            if error.code == "detector_missing":
                self.state = "absent"
                return None
            self._failed(error.code)
            return None
        jail = _Jail(await JailPipes.take(started.worker_id, pipes, limit_bytes=ANSWER_BYTES))
        said = await jail.said(_LOAD_S)
        if not isinstance(said, Ready):
            jail.close()
            await self._stop(jail.worker_id)
            self._failed("not_ready")
            return None
        jail.ready = said
        self._jail, self.state, self._failures = jail, "ready", 0
        return jail

    async def _asked(self, jail: _Jail, text: str) -> Score | None:
        jail.asked += 1
        try:
            jail.writer.write(encode_question(jail.asked, text))
            await jail.writer.drain()
            said = await jail.said(_ANSWER_S + len(text) / _CHARACTERS_PER_S)
        except (OSError, RuntimeError):  # uvloop's word for a pipe that has been closed
            said = None
        if not isinstance(said, Answer) or said.id != jail.asked:
            await self._broken(jail, "no_answer")
            return None
        return Score(said.score, said.view, jail.ready.flag, jail.ready.block)

    async def _broken(self, jail: _Jail, why: str) -> None:
        self._jail = None
        jail.close()
        self._failed(why)
        await self._stop(jail.worker_id)

    def _failed(self, why: str) -> None:
        self.state = "failed"
        self._failures += 1
        _log.error("detector_failed", reason=why)

    async def _stop(self, worker_id: int) -> None:
        try:
            await self._launcher.stop(worker_id)
        except CorralError:
            return  # the launcher has gone, and its jails with it


async def _to_its_end(looking: Coroutine[None, None, Score | None]) -> Score | None:
    """Return what a look at a text brings, and hold the turn until then whoever has gone.

    Else its answer would be the next question's, or the jail would have to end with each client
    that goes away: one tenant could keep all the others without a detector.
    """
    task = asyncio.ensure_future(looking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


class _Jail:
    """A detector's jail and what it said of itself."""

    def __init__(self, pipes: JailPipes) -> None:
        self.worker_id = pipes.worker_id
        self.writer = pipes.writer
        self.asked = 0
        self.ready = Ready("none", 1.0, 1.0)
        self._pipes = pipes

    async def said(self, within_s: float) -> FromGuard | None:
        """Return the next line; None for silence, an end, or what is none of the protocol."""
        try:
            async with asyncio.timeout(within_s):
                line = await self._pipes.reader.readuntil(b"\n")
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return None
        return parse_from_guard(line)

    def close(self) -> None:
        self._pipes.close()
