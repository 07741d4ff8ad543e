"""Every count that this server keeps of itself; docs/metrics.md says what each is.

Trust: gateway [net]. No tenant, key, model or text is in any of it: what one tenant used is in the
usage table. Whoever counts does it by an addition, see `telemetry.tally`.
"""

from __future__ import annotations

from typing import Final

from corral.telemetry.tally import Codes, Spread, Tally

ROUTES: Final = (
    "chat", "completions", "models", "model", "shares", "share", "share_accept", "host",
    "queue", "workers", "openapi", "stored", "stored_messages", "healthz", "readyz", "metrics",
    "tenants", "tenant", "tenant_freeze", "tenant_thaw", "tenant_wipe", "grants", "grant", "keys",
    "key", "key_rotate", "quotas", "usage", "audit", "front", "other",
)  # fmt: skip
"""Where a request was answered; `front` refuses before there is a route."""
REJECTED: Final = (
    "connections", "address", "tenant", "pace", "head_deadline", "body_deadline", "slow_upload",
    "slow_reader", "pipelining",
)  # fmt: skip
"""Why a connection was ended without an answer."""
UNLOADED: Final = ("idle", "room", "memory", "barred")
TOKENS: Final = ("prompt", "completion", "cached")
TRACES_DROPPED: Final = ("queue", "pace", "write")
"""Why a trace was not written."""
STAGES: Final = ("lease", "worker")
"""Where a request waits: for its tenant's place, and for a slot of a loaded worker."""

HANDLINGS: Final = ("report", "clean", "refuse")
MODES: Final = ("enforce", "report")


class Metrics:
    """The counts of one server, from its start.

    Attributes:
        requests: answered, by route and code; `ok`, `cancelled` or an error's code.
        rejected: connections that were ended without an answer, by reason.
        connections: open now.
        running: requests that hold a lease now.
        waiting: requests that wait for one now.
        queue: how long requests waited, by stage.
        first_event: from a request's arrival to the first piece of its streamed answer.
        event_gap: between two writes of a streamed answer.
        duration: from a request's lease to its settlement.
        tokens: by kind; `cached` are of `prompt`.
        worker_starts: asked of the launcher.
        worker_load: from there until a worker was sealed and ready.
        worker_crashes: by code.
        worker_unloads: by reason.
        quarantines: pairs of tenant and model that were put into quarantine.
        findings: what the sanitation saw, by kind, by what the policy says, by the policy's mode.
        sanitation: time that a request's texts took on their way in.
    """

    def __init__(self) -> None:
        codes = Codes()
        self.requests = Tally(route=ROUTES, code=codes)
        self.rejected = Tally(reason=REJECTED)
        self.connections = 0
        self.running = 0
        self.waiting = 0
        self.queue = {stage: Spread() for stage in STAGES}
        self.first_event = Spread()
        self.event_gap = Spread()
        self.duration = Spread()
        self.tokens = Tally(kind=TOKENS)
        self.worker_starts = 0
        self.worker_load = Spread()
        self.worker_crashes = Tally(code=codes)
        self.worker_unloads = Tally(reason=UNLOADED)
        self.quarantines = 0
        self.findings = Tally(kind=Codes(), handling=HANDLINGS, mode=MODES)
        self.sanitation = Spread()
