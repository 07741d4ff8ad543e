"""The way of a request, from its first byte to its usage record.

    1 parse          strict schema, bounded size and depth               gateway.schemas
    2 authenticate   a live key, compared in constant time               tenancy.keyring
    3 authorise      permission; grants and policy, else "not found"     tenancy, admission.catalog
    4 lease          rates, budgets, concurrency, the tenant's own queue tenancy.limits
                     a place among the requests of all tenants           tenancy.fair_queue
    5 sanitise in    by the policy of tenant, key, model and route       guard, gateway.sanitation
      storage        only where asked for and switched on: is there room? gateway.keeping
      audit          its beginning is on the disk, else refused          gateway.trail
    6 route          this tenant's own worker, started on demand         engine.router
    7 sanitise out   by the same policy, across chunk borders            guard.output_chain
    8 shape          OpenAI's JSON; events padded                        gateway.shapes
      storage        encrypted, beside the event loop, before the end    gateway.keeping
    9 settle         usage recorded, place given back, always            tenancy.ledger

Trust: gateway [net]. Input: hostile requests and hostile workers. Each step takes the type that
only the step before can make (`gateway.stages`), so none can be skipped. A client that goes away,
a request over its deadline, or a key that was revoked meanwhile (`gateway.standing`), cancels
whatever step is being done; step 9 is done all the same.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Receive, Scope, Send

from corral.admission.catalog import Catalog
from corral.audit.log import AuditLog
from corral.core.config import Config
from corral.engine.router import Router
from corral.engine.worker_link import Stream
from corral.gateway.answer import send_answer
from corral.gateway.dialect import Dialect
from corral.gateway.errors import (
    AUDIT_UNAVAILABLE,
    READER_TOO_SLOW,
    TIMED_OUT,
    TOO_LARGE,
    TOO_MANY_UPLOADS,
    TOO_MUCH_KEPT,
    ApiError,
    bad_priority,
)
from corral.gateway.exchange import Exchange, StalledClientError
from corral.gateway.host_report import HostReport
from corral.gateway.keeping import Keeping, Storage, begin_keeping
from corral.gateway.lookup_pool import LookupPool
from corral.gateway.meter import Meter
from corral.gateway.prompt_digest import begin_trail
from corral.gateway.sanitation import Sanitation, sanitise
from corral.gateway.shapes.sse import error_event
from corral.gateway.side_pace import SidePace
from corral.gateway.stages import Authorised, Leased, Parsed, Sanitised, parse
from corral.gateway.standing import Permit, Standing
from corral.gateway.uploads import Uploads
from corral.telemetry.metrics import Metrics
from corral.tenancy.data_keys import DataKeys
from corral.tenancy.fair_queue import FairQueue
from corral.tenancy.keyring import Keyring
from corral.tenancy.ledger import Ledger
from corral.tenancy.limits import TenantLimits

if TYPE_CHECKING:
    from corral.gateway.tracing import Tracing

PRIORITY: Final = b"x-corral-priority"
_FAREWELL_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the pipeline works with; made once by the composition root.

    Attributes:
        database: for what is rare and not worth a copy in memory: shares, the admin API.
        pepper: new keys are stored as hashes under it.
    """

    config: Config
    database: Path
    pepper: bytes = field(repr=False)
    keyring: Keyring
    standing: Standing
    catalog: Catalog
    limits: TenantLimits
    ledger: Ledger
    audit: AuditLog
    data_keys: DataKeys
    storage: Storage
    sanitation: Sanitation
    router: Router
    fair: FairQueue
    uploads: Uploads
    metrics: Metrics = field(default_factory=Metrics)
    side_pace: SidePace = field(default_factory=SidePace)
    lookups: LookupPool = field(default_factory=LookupPool)
    tracing: Tracing | None = None
    host: HostReport | None = None

    @property
    def degraded(self) -> tuple[str, ...]:
        """Return the walls that are missing by the operator's leave, or might be."""
        if self.host is None:
            return self.config.sandbox.allow_degraded
        return self.host.degraded


class Pipeline:
    """The ASGI endpoint of one dialect; `gateway.gate` keeps strangers and their bodies away.

    Steps 2 and 3 prove what the gate only looked at: the body has taken its time to come.
    """

    def __init__(self, dialect: Dialect, services: Services) -> None:
        self._dialect = dialect
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; gives up when the client goes or the deadline passes."""
        services = self._services
        rate = services.config.clients.download_bytes_per_s
        exchange = Exchange(scope, receive, send, least_rate=rate)
        tenant, uploads = exchange.principal.tenant, services.uploads
        exchange.timeline.enter("receive")
        if uploads.reading.lacks(tenant):
            await exchange.refuse(TOO_MANY_UPLOADS, close=True)
            return
        with uploads.reading.take(tenant):
            body = await exchange.body(services.config.limits.body_bytes)
        if body is None:
            if exchange.gone:
                exchange.outcome = "cancelled"
            else:
                await exchange.refuse(TOO_LARGE)
            return
        if uploads.kept.lacks(tenant, len(body)):
            await exchange.refuse(TOO_MUCH_KEPT)
            return
        shown = exchange.credential
        with uploads.kept.take(tenant, len(body)), services.standing.follow(shown) as permit:
            exchange.timeline.enter("admit")
            # 1 parse
            parsed = parse(body, self._dialect, services.config)
            del body  # an answer takes minutes, and what it needs of the body it has
            await self._work(exchange, parsed, permit)

    async def _work(self, exchange: Exchange, parsed: Parsed | ApiError, permit: Permit) -> None:
        work = asyncio.create_task(self._answer(exchange, parsed, permit))
        watch = asyncio.create_task(exchange.client_gone())
        ends: set[asyncio.Future[Any]] = {work, watch, permit.lost}
        try:
            done, _ = await asyncio.wait(
                ends,
                timeout=self._services.config.limits.request_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                exchange.ended = TIMED_OUT
            elif done == {permit.lost}:
                exchange.ended = permit.lost.result()
        finally:
            work.cancel()
            watch.cancel()
            await asyncio.wait({work, watch})
        if not work.cancelled():
            work.result()
        elif exchange.ended is not None:
            await _give_up(exchange, exchange.ended)

    async def _answer(self, exchange: Exchange, parsed: Parsed | ApiError, permit: Permit) -> None:
        authorised = self._admit(exchange, parsed)
        if isinstance(authorised, ApiError):
            await exchange.refuse(authorised)
            return
        services = self._services
        permit.model = authorised.entry.name
        exchange.trail.about(authorised.entry.name, authorised.entry.identity)
        timeline = exchange.timeline
        timeline.about(authorised.entry.name, self._dialect.operation)
        # 4 lease
        leased = await self._lease(exchange, authorised)
        if isinstance(leased, ApiError):
            await exchange.refuse(leased)
            return
        exchange.told = leased.lease.headers
        metrics = services.metrics
        meter = Meter(leased, services.ledger, exchange.request_id, metrics, timeline)
        metrics.running += 1
        stream: Stream | None = None
        try:
            # 5 sanitise in
            prepared = await self._prepare(exchange, leased)
            if isinstance(prepared, ApiError):
                meter.status = prepared.code
                await exchange.refuse(prepared)
                return
            sanitised, keeping = prepared
            # 6 route
            timeline.enter("worker")
            asked_s = time.monotonic()
            routed = await sanitised.route(services.router)
            metrics.queue["worker"].add(time.monotonic() - asked_s)
            if isinstance(routed, ApiError):
                meter.status = routed.code
                await exchange.refuse(routed)
                return
            timeline.enter("engine")
            stream = routed.stream
            meter.sent(stream)
            # 7 sanitise out, 8 shape
            fingerprint = f"fp_{authorised.entry.identity[:12]}"
            error = await send_answer(
                routed, self._dialect.shape(routed.ask, fingerprint), exchange, metrics, keeping
            )
            meter.status = error.code if error else "ok"
        except StalledClientError:
            meter.status = READER_TOO_SLOW.code
            raise
        finally:
            # 9 settle
            timeline.enter(None)
            if exchange.ended is not None:
                meter.status = exchange.ended.code
            exchange.outcome = meter.status
            metrics.running -= 1
            leased.lease.release()
            if stream is not None:
                stream.abandon()
            meter.settle(stream)

    async def _prepare(
        self, exchange: Exchange, leased: Leased
    ) -> tuple[Sanitised, Keeping | None] | ApiError:
        """Return what may be sent on, its beginning on record, and where its answer is kept."""
        services = self._services
        exchange.timeline.enter("prepare")
        sanitised = await sanitise(exchange, leased, services.sanitation, services.metrics)
        if isinstance(sanitised, ApiError):
            return sanitised
        keeping: Keeping | None = None
        if leased.ask.store is not None:
            kept = await begin_keeping(services.storage, sanitised)
            if isinstance(kept, ApiError):
                return kept
            keeping = kept
        begun = begin_trail(exchange.trail, leased.authorised, services.data_keys)
        if not begun or not await exchange.trail.durable():
            return AUDIT_UNAVAILABLE
        return sanitised, keeping

    async def _lease(self, exchange: Exchange, authorised: Authorised) -> Leased | ApiError:
        services = self._services
        exchange.timeline.enter("lease")
        priority = exchange.header(PRIORITY)
        if priority not in {b"", b"interactive", b"batch"}:
            return bad_priority(PRIORITY.decode())
        asked_s = time.monotonic()
        services.metrics.waiting += 1
        try:
            return await authorised.lease(
                services.limits, services.fair, services.ledger, services.config,
                batch=priority == b"batch",
            )  # fmt: skip
        finally:
            services.metrics.waiting -= 1
            services.metrics.queue["lease"].add(time.monotonic() - asked_s)

    def _admit(self, exchange: Exchange, parsed: Parsed | ApiError) -> Authorised | ApiError:
        services = self._services
        if isinstance(parsed, ApiError):
            return parsed
        # 2 authenticate
        authenticated = parsed.authenticate(exchange.credential, services.keyring)
        if isinstance(authenticated, ApiError):
            return authenticated
        # 3 authorise
        return authenticated.authorise(services.catalog, services.config)


async def _give_up(exchange: Exchange, error: ApiError) -> None:
    try:
        async with asyncio.timeout(_FAREWELL_S):
            if exchange.started:
                await exchange.write(error_event(error.body()), last=True)
            else:
                await exchange.refuse(error)
    except TimeoutError:
        raise StalledClientError from None
