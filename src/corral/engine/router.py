"""Who is sent to which worker: one worker for each (tenant, artifact, options), never shared.

Trust: gateway [net]. Input: start requests that the pipeline built from an admitted entry.
The key holds the tenant, so that no KV cache, prompt cache, slot or batch ever has two tenants'
text. Which of them may live is for `engine.places`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from corral.core.config import Engine
from corral.core.errors import CorralError, IpcError
from corral.engine.allocator_unsafe import release_free_memory
from corral.engine.artifact import Artifact
from corral.engine.capacity import Footprint
from corral.engine.core_shares import CoreShares, Live
from corral.engine.launcher_link import LauncherLink
from corral.engine.places import ROOMY, WAIT_S, Places, Room
from corral.engine.supervisor import Supervisor
from corral.engine.unavailable import RestartPolicy
from corral.engine.watchdog import WorkerFacts
from corral.engine.worker_link import Deadlines
from corral.ipc.messages import StartEngine, WorkerEnded, WorkerStatus
from corral.telemetry.metrics import Metrics
from corral.tenancy.fair_queue import Standing
from corral.tenancy.ward import Ward

_IDLE_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class WorkerKey:
    """What a worker is for; requests that differ in any of it never meet in one worker."""

    tenant: str
    artifact: Artifact
    context_tokens: int
    parallel: int
    threads: int
    memory_bytes: int


class Router:
    """Every worker of this gateway.

    Attributes:
        places: shares out which workers may live.

    Args:
        launcher: where workers come from.
        config: how many there may be and when idle ones are unloaded.
        deadlines: how long a worker may be silent; None takes the load timeout of `config`.
        policy: when a crashed worker is started again; None takes it from `config`.
        ward: pairs of tenant and model in quarantine; None makes one that forgets at its end.
        metrics: counts what becomes of workers; None makes counts that nobody reads.
        place_wait_s: how long a start waits for a place.
        standing: how each tenant stands, for the shares of cores; None leaves them equal.
    """

    def __init__(
        self,
        launcher: LauncherLink,
        config: Engine,
        *,
        deadlines: Deadlines | None = None,
        policy: RestartPolicy | None = None,
        ward: Ward | None = None,
        metrics: Metrics | None = None,
        place_wait_s: float = WAIT_S,
        standing: Callable[[], Mapping[str, Standing]] | None = None,
    ) -> None:
        self._launcher = launcher
        self._config = config
        self._deadlines = deadlines or Deadlines(
            load_s=config.load_timeout_s,
            first_chunk_s=config.first_chunk_timeout_s,
            next_chunk_s=config.chunk_timeout_s,
        )
        self._policy = policy or RestartPolicy(
            crashes_max=config.crashes_max,
            window_s=config.crash_window_s,
            quarantine_s=config.quarantine_s,
        )
        self._ward = ward or Ward()
        self._metrics = metrics or Metrics()
        self._supervisors: dict[WorkerKey, Supervisor] = {}
        self._standing = standing
        self._cores = CoreShares()
        self._asked = False
        self.places = Places(config, self._supervisors.values, self._metrics, wait_s=place_wait_s)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker = self._loop.call_later(_IDLE_LOOK_S, self._look_for_idle)

    def worker(
        self, start: StartEngine, template: str, *, identity: str = "", room: Room = ROOMY,
        weigh: Callable[[], Footprint] = Footprint,
    ) -> Supervisor:  # fmt: skip
        """Return who has, or will start, the worker of a tenant for these options.

        Args:
            start: what to start.
            template: chat template of the model's receipt.
            identity: of the artifact; empty: the file's digest.
            room: what its tenant's workers may take.
            weigh: tells what the worker takes of the machine's memory; called for a first request.
        """
        self._asked = True
        self.places.allow(start.tenant, room)
        artifact = Artifact(identity or start.digest, template)
        key = WorkerKey(
            start.tenant, artifact, start.context_tokens, start.parallel, start.threads,
            start.memory_bytes,
        )  # fmt: skip
        supervisor = self._supervisors.get(key)
        if supervisor is None:
            supervisor = self._supervisors[key] = Supervisor(
                self._launcher,
                start,
                artifact,
                footprint=weigh(),
                deadlines=self._deadlines,
                policy=self._policy,
                ward=self._ward,
                metrics=self._metrics,
                places=self.places,
            )
        return supervisor

    def worker_ended(self, event: WorkerEnded) -> None:
        """Pass on the launcher's word that a worker has gone."""
        for supervisor in self._supervisors.values():
            supervisor.ended(event.worker_id, event.status, event.reason)

    def supervisors(self) -> tuple[Supervisor, ...]:
        """Return everyone who has a worker, had one or waits for one."""
        return tuple(self._supervisors.values())

    async def jails(self) -> tuple[WorkerStatus, ...]:
        """Return each jail that the launcher knows.

        Raises:
            IpcError: the launcher has gone.
        """
        return tuple([one async for one in self._launcher.workers()])

    async def facts(self) -> tuple[WorkerFacts, ...]:
        """Return what is known of every worker, by tenant and model."""
        try:
            memory = {one.worker_id: one.rss_bytes for one in await self.jails()}
        except CorralError:
            memory = {}
        known = [one.facts() for one in self._supervisors.values()]
        return tuple(
            replace(one, rss_bytes=memory.get(one.worker_id))
            for one in sorted(known, key=lambda one: (one.tenant, one.model))
        )

    def runs(self, tenants: Collection[str] | None = None) -> bool:
        """Return whether any worker lives, or any of these tenants."""
        return any(
            one.live and (tenants is None or key.tenant in tenants)
            for key, one in self._supervisors.items()
        )

    def stop_tenants(self, tenants: Collection[str]) -> None:
        """Stop every worker of these tenants, busy or idle; requests that run get `Broken`.

        A worker that is being started at this moment is not: ask again.
        """
        for key, one in self._supervisors.items():
            if one.live and key.tenant in tenants:
                self._metrics.worker_unloads.add("barred")
                self._unload(one)

    def share_cores(self) -> None:
        """Have the workers' weights follow how their tenants stand."""
        if self._standing is None:
            return
        known = (one.facts() for one in self._supervisors.values() if one.ready)
        workers = tuple(Live(one.worker_id, one.tenant) for one in known)
        changed = self._cores.look(self._loop.time(), self._standing(), workers)
        for worker_id, percent in changed.items():
            task = asyncio.create_task(self._share(worker_id, percent))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _share(self, worker_id: int, percent: int) -> None:
        with suppress(IpcError):  # the launcher has gone: this process ends, too
            await self._launcher.share_cores(worker_id, percent)

    async def close(self) -> None:
        """Stop every worker."""
        self._ticker.cancel()
        await asyncio.gather(*(one.unload() for one in self._supervisors.values()), *self._tasks)
        self._ward.close()

    def _look_for_idle(self) -> None:
        self._ticker = self._loop.call_later(_IDLE_LOOK_S, self._look_for_idle)
        now = self._loop.time()
        for key, supervisor in list(self._supervisors.items()):
            if supervisor.forgettable:
                del self._supervisors[key]
            elif supervisor.unloadable and (
                now - supervisor.idle_since_s >= self._config.idle_unload_s
            ):
                self._metrics.worker_unloads.add("idle")
                self._unload(supervisor, idle=True)
        if self._asked and not self.runs():
            self._asked = False
            release_free_memory()  # what a rush of many tenants took would stay for good

    def _unload(self, supervisor: Supervisor, *, idle: bool = False) -> None:
        async def unload() -> None:
            if supervisor.unloadable or not idle:  # a request may have come meanwhile
                await supervisor.unload()

        task = asyncio.create_task(unload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
