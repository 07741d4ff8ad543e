"""The wall around each protected route: no success leaves without its record on the disk.

Trust: gateway [net]. Input: hostile requests. Holds whatever the route did or forgot to do; a route
that works for long before its answer waits for its own record first (`Trail.begin`).
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from corral.audit.log import AuditLog
from corral.audit.pace import RefusalPace
from corral.gateway.errors import AUDIT_UNAVAILABLE, INTERNAL, READER_TOO_SLOW
from corral.gateway.exchange import TRAIL, Exchange, StalledClientError
from corral.gateway.trail import Trail


class _NotWrittenError(Exception):
    """A success was to be answered, and its record cannot be written."""


class Audited:
    """One protected route with its audit.

    Args:
        app: the route.
        action: `resource:action`, which each record names.
        log: gets the records.
        pace: bounds those of refusals.
    """

    def __init__(self, app: ASGIApp, action: str, log: AuditLog, pace: RefusalPace) -> None:
        self._app = app
        self._action = action
        self._log = log
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        client = scope.get("client")
        trail = Trail(self._log, exchange.request_id, self._action, client[0] if client else "")
        scope[TRAIL] = trail

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                trail.status = message["status"]
                if trail.status < 400 and not await trail.durable():
                    raise _NotWrittenError
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except _NotWrittenError:
            trail.status = AUDIT_UNAVAILABLE.status
            await exchange.refuse(AUDIT_UNAVAILABLE)
        except StalledClientError:
            exchange.outcome = READER_TOO_SLOW.code
            raise
        except Exception:
            exchange.outcome = INTERNAL.code
            trail.status = trail.status or INTERNAL.status
            raise
        finally:
            trail.end(exchange.outcome, self._pace)
