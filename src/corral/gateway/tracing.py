"""The trace of each request to an address that takes a credential.

Trust: gateway [net]. Input: hostile requests, of which only what `telemetry.timeline` takes is
kept. A flood of refusals would push out what matters: each tenant's, and all strangers' together,
leave so many traces as `audit.pace` lets through.

Loaded only where traces are switched on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from corral.audit.pace import RefusalPace
from corral.gateway.errors import INTERNAL
from corral.gateway.exchange import TIMELINE, Exchange
from corral.telemetry.timeline import Timeline
from corral.telemetry.trace_files import TraceWriter
from corral.telemetry.trace_log import TraceLog
from corral.telemetry.traceparent import caller_span


class Tracing:
    """Traces of one server.

    Args:
        folder: of their files.
        files: how many of these there are at most.
    """

    def __init__(self, folder: Path, files: int) -> None:
        self._log = TraceLog(TraceWriter(folder, files))
        self._pace = RefusalPace()

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many traces were not written, by reason."""
        return self._log.dropped

    def around(self, app: ASGIApp, route: str) -> ASGIApp:
        """Return the application of one address, with its traces.

        Args:
            app: what answers, and counts outcomes.
            route: the address as in the table of routes.
        """
        return _Traced(app, route, self)

    def add(self, timeline: Timeline) -> None:
        """Take the timeline of a request that is over."""
        refused = timeline.status >= 400 and timeline.tokens is None
        if refused and not self._pace.admits(timeline.tenant, time.monotonic()):
            self._log.leave_out()
        else:
            self._log.add(timeline)

    def close(self) -> None:
        """Write what is queued, and stop."""
        self._log.close()


class _Traced:
    def __init__(self, app: ASGIApp, route: str, tracing: Tracing) -> None:
        self._app = app
        self._route = route
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        timeline = Timeline(scope["method"], self._route, exchange.request_id, self._tracing.add)
        scope[TIMELINE] = timeline
        try:
            await self._app(scope, receive, send)
        finally:
            code = exchange.outcome
            if not timeline.status:
                # `gateway.app` answers what nobody foresaw after us; else the client has gone.
                timeline.status = INTERNAL.status if code == INTERNAL.code else 0
                code = "cancelled" if code == "ok" else code
            if timeline.tenant:
                timeline.parent = caller_span(scope["headers"])
            timeline.end(code)
