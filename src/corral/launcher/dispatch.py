"""The closed request table: who may ask the launcher for what, and when.

Trust: trusted base. Input: decoded messages of `ipc.messages`. Like OpenSSH's monitor, each entry
is permitted to certain channels only, and in their state only; everything else is refused, and a
frame that is malformed ends its channel.

    request        gateway  job  operator   of a gateway, only
    StartEngine       x      x              after GatewayReady, not while it drains; admitted models
    ConfirmSealed     x      x              after GatewayReady; each its own engine workers, once
    ShareCores        x                     after GatewayReady; its own engine workers
    StartGuard        x      x              not while the gateway drains; one at a time
    StartMedia        x      x              not while the gateway drains; four at a time
    StartScan                x
    StartFetch               x
    StartProbe               x
    StopWorker        x      x      x       its own workers (a job too)
    NextWorker        x      x      x
    OpenSecret        x                     all before GatewayReady; `tls_cert`, `tls_key` later too
    GatewayReady      x                     once
    GatewayAlive      x                     after GatewayReady
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from corral.core.errors import CorralError
from corral.ipc.messages import (
    ConfirmSealed,
    GatewayAlive,
    GatewayReady,
    Message,
    NextWorker,
    OpenSecret,
    Refused,
    ShareCores,
    StartEngine,
    StartFetch,
    StartGuard,
    StartMedia,
    StartProbe,
    StartScan,
    StopWorker,
)
from corral.launcher.requests import Requests
from corral.launcher.session import Reply, Role, Session


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table.

    Attributes:
        once: permitted once for each channel.
        ready: not before the gateway is ready.
        undrained: not while the gateway drains.
    """

    call: Callable[[Requests, Session, int, Any], Reply]
    permit: frozenset[Role]
    once: bool = False
    ready: bool = False
    undrained: bool = False


_ALL: Final = frozenset(Role)
_STARTERS: Final = frozenset({Role.GATEWAY, Role.JOB})

TABLE: Final[dict[type, Entry]] = {
    StartEngine: Entry(
        lambda r, s, _, m: r.start_engine(s, m), _STARTERS, ready=True, undrained=True
    ),
    ConfirmSealed: Entry(lambda r, s, _, m: r.confirm_sealed(s, m), _STARTERS, ready=True),
    ShareCores: Entry(
        lambda r, s, _, m: r.share_cores(s, m), frozenset({Role.GATEWAY}), ready=True
    ),
    StartGuard: Entry(lambda r, s, _, m: r.start_guard(s), _STARTERS, undrained=True),
    StartMedia: Entry(lambda r, s, _, m: r.start_media(s), _STARTERS, undrained=True),
    StartScan: Entry(lambda r, s, _, m: r.start_scan(s, m), frozenset({Role.JOB})),
    StartFetch: Entry(lambda r, s, _, m: r.start_fetch(s, m), frozenset({Role.JOB})),
    StartProbe: Entry(lambda r, s, _, m: r.start_probe(s, m), frozenset({Role.JOB})),
    StopWorker: Entry(lambda r, s, i, m: r.stop_worker(s, i, m), _ALL),
    NextWorker: Entry(lambda r, _s, _, m: r.next_worker(m), _ALL),
    OpenSecret: Entry(lambda r, s, _, m: r.open_secret(s, m), frozenset({Role.GATEWAY})),
    GatewayReady: Entry(
        lambda r, _s, _, _m: r.gateway_ready(), frozenset({Role.GATEWAY}), once=True
    ),
    GatewayAlive: Entry(
        lambda r, _s, _, _m: r.gateway_alive(), frozenset({Role.GATEWAY}), ready=True
    ),
}  # fmt: skip


def dispatch(requests: Requests, session: Session, request_id: int, message: Message) -> Reply:
    """Carry out one request, or refuse it.

    Args:
        requests: carries out what is permitted.
        session: the channel's standing; changed when a once-only request is used.
        request_id: the client's, for answers that come later.
        message: a decoded message, of any type.
    """
    entry = TABLE.get(type(message))
    if entry is None or session.role not in entry.permit:
        return Reply(Refused("not_permitted", "this request is not permitted here", ""))
    if entry.ready and not session.ready:
        return Reply(Refused("not_permitted", "the gateway has not been ready yet", ""))
    if entry.undrained and session.draining:
        return Reply(Refused("draining", "the server is shutting down", ""))
    if entry.once:
        if type(message) in session.used:
            return Reply(Refused("not_permitted", "this request is permitted once", ""))
        session.used.add(type(message))
    try:
        return entry.call(requests, session, request_id, message)
    except CorralError as error:
        return Reply(Refused(error.code, error.message, error.remedy))
    except OSError:
        return Reply(Refused("launcher_failed", "the launcher could not carry this out", ""))
