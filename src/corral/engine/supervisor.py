"""The life of one worker: started on demand, kept warm, restarted with back-off, given up.

Trust: gateway [net]. Input: a hostile worker through `WorkerLink`, events of the launcher.
There is one supervisor for each (tenant, artifact, options); whatever its worker does, only
requests of this tenant on this model feel it, and each of them gets a typed answer.

    idle → starting → ready → idle            on demand, unloaded when nobody needs it
    starting → ready                          once the launcher has seen from outside that the
                                              worker is sealed; before, it gets no request
    starting | ready → backing off → idle     after a crash, or a start that the launcher refused:
                                              0.5 s, doubled for each one more without a good
                                              answer in between
    backing off → quarantined → idle          5 crashes in 10 minutes: the pair of tenant and
                                              model is refused for an hour, or until released
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Final

from corral.core.errors import CorralError, IpcError
from corral.engine.artifact import Artifact
from corral.engine.backoff import Backoff
from corral.engine.capacity import Footprint
from corral.engine.launcher_link import LauncherLink
from corral.engine.places import Places
from corral.engine.unavailable import RestartPolicy, Unavailable
from corral.engine.watchdog import WorkerFacts
from corral.engine.wire import SEAL_FAILED, End, Failed, Fatal, Message, Ready, Sampling
from corral.engine.worker_link import Broken, Deadlines, Stream, WorkerLink
from corral.ipc.messages import OPERATOR_STOP, StartEngine
from corral.telemetry.log import get_logger
from corral.telemetry.metrics import Metrics
from corral.tenancy.ward import Ward

_log: Final = get_logger("engine.supervisor")
_TAKEN: Final = frozenset({"no_exclusive_cores", "gpu_in_use", "too_many_workers"})


class Supervisor:
    """Starts, watches and stops the worker of one key.

    Args:
        launcher: where workers come from.
        start: the request that starts this worker.
        artifact: what the worker serves.
        footprint: what the worker takes of the machine's memory.
        deadlines: how long the worker may be silent.
        policy: when it is started again.
        ward: who is not to be started for a while.
        metrics: counts what becomes of the worker.
        places: shares out the places for workers.

    Attributes:
        live: a place is taken: a worker runs, starts or is being stopped.
        users: requests that hold or wait for a slot.
        running: those of them that the worker has.
        waits: no place is free for the worker yet.
        yielding: the worker gets no further request: its place is wanted by another tenant.
        ready_since_s: loop time at which the worker was ready.
        idle_since_s: loop time of the last request's end.
        footprint: what the worker takes of the machine's memory.
    """

    def __init__(
        self,
        launcher: LauncherLink,
        start: StartEngine,
        artifact: Artifact,
        *,
        footprint: Footprint,
        deadlines: Deadlines,
        policy: RestartPolicy,
        ward: Ward,
        metrics: Metrics,
        places: Places,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.live = self._confirmed = False
        self.users = self.running = 0
        self.waits = self.yielding = False
        self.ready_since_s = 0.0
        self.idle_since_s = self._loop.time()
        self._launcher = launcher
        self._start = start
        self._artifact = artifact
        self.footprint = footprint
        self._deadlines = deadlines
        self._policy = policy
        self._ward = ward
        self._metrics = metrics
        self._quarantined = False
        self._places = places
        self._slots = asyncio.Semaphore(start.parallel)
        self._link: WorkerLink | None = None
        self._worker_id = 0
        self._starting: asyncio.Task[WorkerLink | Unavailable] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._backoff = Backoff(policy, self._loop.time)
        self._starts = self._crashes_in_all = 0
        self._crashes: deque[float] = deque(maxlen=policy.crashes_max)

    @property
    def tenant(self) -> str:
        """Whose worker it is."""
        return self._start.tenant

    @property
    def memory_bytes(self) -> int:
        """Limit of its memory."""
        return self._start.memory_bytes

    @property
    def state(self) -> str:
        """One word of `gateway.metrics_page.STATES`."""
        if self._starting is not None:
            return "starting"
        if self._stopping is not None:
            return "stopping"
        if self._link is not None and self._link.usable:
            return "ready"
        if self._quarantined:
            return "quarantined"
        return "backing_off" if self._backoff.lasts else "idle"

    def facts(self) -> WorkerFacts:
        """Return what is known of the worker, but its memory, which the launcher knows."""
        link = self._link
        return WorkerFacts(
            tenant=self._start.tenant, model=self._start.model, digest=self._start.digest,
            state=self.state, worker_id=self._worker_id if link else 0, requests=self.users,
            silent_s=round(self._loop.time() - link.heard_s, 1) if link else None,
            pieces=link.pieces if link else 0, starts=self._starts, crashes=self._crashes_in_all,
        )  # fmt: skip

    @property
    def ready(self) -> bool:
        """A worker runs and takes requests."""
        return self._link is not None and self._link.usable and self._confirmed

    @property
    def stopping(self) -> bool:
        """The worker is on its way out."""
        return self._stopping is not None

    @property
    def unloadable(self) -> bool:
        """A worker runs and nobody needs it, or nobody of those it may still serve."""
        unused = not self.users or (self.yielding and not self.running)
        return self._link is not None and self._link.usable and unused

    @property
    def held_up(self) -> bool:
        """Requests that it does not have yet wait for others to end."""
        return self.waits or self.yielding

    def give_way(self) -> None:
        """Let the requests that run end, and no further one in; then the worker goes."""
        self.yielding = True

    @property
    def forgettable(self) -> bool:
        """Nothing runs, nobody waits, and no crash is held against it but by the ward."""
        if self.live or self.users or self._backoff.lasts:
            return False
        return not self._crashes or self._loop.time() - self._crashes[-1] > self._policy.window_s

    async def open(
        self, sampling: Sampling, messages: tuple[Message, ...] | None, prompt: str | None,
        media: tuple[bytes, ...] = (),
    ) -> Stream | Unavailable:  # fmt: skip
        """Wait for a slot in first-come order, start the worker if need be, send the request."""
        refusal = self._refusal()
        if refusal is not None:
            return refusal
        self.users += 1
        try:
            await self._slots.acquire()
        except BaseException:
            self._leave()
            raise
        try:
            link = await self._ready_link()
        except BaseException:
            self._release()
            raise
        if isinstance(link, Unavailable):
            self._release()
            return link
        self.running += 1
        stream = link.submit(sampling, messages, prompt, media)
        stream.when_over(self._over)
        return stream

    def ended(self, worker_id: int, status: str, reason: str) -> None:
        """Take the launcher's word that a worker has gone."""
        if worker_id == self._worker_id:
            _log.warning(
                "worker_ended",
                tenant=self._start.tenant, model=self._start.model, worker_id=worker_id,
                status=status, reason=reason,
            )  # fmt: skip
            if self._link is not None:
                self._link.close()
                self._broken(worker_id, "worker_failed")
            if reason == OPERATOR_STOP:
                # The end of its pipes came first and was taken for a crash; it was none.
                if self._crashes:
                    self._crashes.pop()
                self._backoff.take_back()
                if self._quarantined:
                    self._quarantined = False
                    self._ward.lift(self._start.tenant, self._artifact.identity)

    async def unload(self) -> None:
        """Stop the worker; requests that run get `Broken`."""
        if self._link is not None:
            link, self._link = self._link, None
            self.yielding = False
            link.close()
            self._stopping = asyncio.create_task(self._stop(self._worker_id))
        if self._stopping is not None:
            await asyncio.shield(self._stopping)

    def _refusal(self) -> Unavailable | None:
        held_s = self._ward.left_s(self._start.tenant, self._artifact.identity)
        if held_s > 0:
            return Unavailable(
                "model_quarantined",
                "this model crashed again and again for you; the operator can release it",
                held_s,
            )
        if self._quarantined:
            # Released, or its time is over: what came before is forgiven.
            self._quarantined = False
            self._crashes.clear()
        return self._backoff.refusal()

    def _over(self, outcome: End | Failed | Broken) -> None:
        if isinstance(outcome, End):
            self._backoff.forget()
        self.running -= 1
        self._release()

    def _release(self) -> None:
        self._slots.release()
        self._leave()

    def _leave(self) -> None:
        self.users -= 1
        self.idle_since_s = self._loop.time()
        if not self.users or self.yielding:
            self._places.freed()

    async def _ready_link(self) -> WorkerLink | Unavailable:
        while True:  # a worker that was ready a moment ago may have to give way now
            if self._link is not None and self.ready and not self.yielding:
                return self._link
            refusal = self._refusal()
            if refusal is not None:
                return refusal
            if self._starting is None:
                self._starting = asyncio.create_task(self._start_worker())
                self._starting.add_done_callback(self._started)
            outcome = await asyncio.shield(self._starting)
            if isinstance(outcome, Unavailable):
                return outcome

    def _started(self, task: asyncio.Task[WorkerLink | Unavailable]) -> None:
        self._starting = None
        if not task.cancelled() and task.exception() is not None:
            self.live = self._link is not None

    async def _start_worker(self) -> WorkerLink | Unavailable:
        while self.yielding and self.running:
            await self._places.change()
        if self.yielding:
            await self.unload()
        if self._stopping is not None:
            await asyncio.shield(self._stopping)
        no_place = await self._places.take(self)
        if no_place is not None:
            return no_place
        asked_s = self._loop.time()
        self._metrics.worker_starts += 1
        self._starts += 1
        try:
            started, pipes = await self._launcher.start(self._start)
        except CorralError as error:
            self.live = False
            self._places.freed()
            if error.code in _TAKEN:  # nothing crashed: cores and devices are other workers' now
                return Unavailable("no_worker_free", "every place for a worker is taken", 2)
            # No byte of the model was read: that is the host's fault, not a crash of the pair.
            code = "worker_start_refused"
            delay_s = self._backoff.begin(code, "the engine worker cannot be started")
            _log.warning(
                code,
                tenant=self._start.tenant, model=self._start.model, code=error.code,
                retry_after_s=delay_s,
            )  # fmt: skip
            return Unavailable(code, "the engine worker could not be started", delay_s)
        self._worker_id, self._confirmed = started.worker_id, False
        link = WorkerLink(
            pipes,
            template=self._artifact.template,
            deadlines=self._deadlines,
            on_broken=partial(self._broken, started.worker_id),
        )
        self._link = link
        outcome = await link.loaded()
        if isinstance(outcome, Ready):
            refusal = await self._unconfirmed(started.worker_id)
            if refusal:
                return self._not_loaded(link, started.worker_id, refusal)
            self._confirmed = True
            self.ready_since_s = self._loop.time()
            self._metrics.worker_load.add(self._loop.time() - asked_s)
            _log.info(
                "worker_ready",
                tenant=self._start.tenant, model=self._start.model,
                worker_id=started.worker_id, pid=started.pid, load_ms=outcome.load_ms,
            )  # fmt: skip
            return link
        code = "model_load_failed"
        if not isinstance(outcome, Fatal):
            code = "model_load_timeout" if outcome.code == "worker_timeout" else "worker_failed"
        elif outcome.code == SEAL_FAILED:
            code = SEAL_FAILED
        return self._not_loaded(link, started.worker_id, code)

    async def _unconfirmed(self, worker_id: int) -> str:
        """Have the launcher look whether a worker that says so is sealed; return what is wrong."""
        try:
            await self._launcher.confirm_sealed(worker_id)
        except CorralError as error:
            return SEAL_FAILED if error.code == SEAL_FAILED else "worker_failed"
        return ""

    def _not_loaded(self, link: WorkerLink, worker_id: int, code: str) -> Unavailable:
        _log.warning(
            "worker_load_failed",
            tenant=self._start.tenant, model=self._start.model, worker_id=worker_id,
            code=code, bytes=link.stderr_bytes,
        )  # fmt: skip
        if self._link is link:
            link.close()
            self._broken(worker_id, code)
        return Unavailable(
            code, "the engine worker could not load this model", self._policy.first_delay_s
        )

    def _broken(self, worker_id: int, code: str) -> None:
        if self._link is None or worker_id != self._worker_id:
            return
        self._link = None
        self.yielding = False
        self._crashed(code)
        self._stopping = asyncio.create_task(self._stop(worker_id))

    def _crashed(self, code: str) -> None:
        now = self._loop.time()
        self._crashes.append(now)
        self._metrics.worker_crashes.add(code)
        self._crashes_in_all += 1
        recent = sum(1 for at in self._crashes if now - at <= self._policy.window_s)
        delay_s = self._backoff.begin(
            "worker_restarting", "the engine worker ended and is started again soon"
        )
        _log.warning(
            "worker_broken",
            tenant=self._start.tenant, model=self._start.model, worker_id=self._worker_id,
            code=code, count=recent, retry_after_s=delay_s,
        )  # fmt: skip
        if recent >= self._policy.crashes_max and not self._quarantined:
            self._quarantined = True
            self._metrics.quarantines += 1
            self._ward.hold(
                self._start.tenant, self._artifact.identity, model=self._start.model,
                crashes=recent, seconds=self._policy.quarantine_s,
            )  # fmt: skip
            _log.error(
                "model_quarantined",
                tenant=self._start.tenant, model=self._start.model, count=recent,
                retry_after_s=self._policy.quarantine_s,
            )  # fmt: skip

    async def _stop(self, worker_id: int) -> None:
        try:
            await self._launcher.stop(worker_id)
        except IpcError:
            _log.error("worker_stop_failed", worker_id=worker_id)
        finally:
            self.live = False
            self._stopping = None
            self._places.freed()
