"""What is known of one engine worker from outside: does it speak, does it get on, does it crash.

Trust: gateway [net]. Nothing of it is a worker's own word but how many pieces it sent.
"""

from __future__ import annotations

import msgspec


class WorkerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's worker of one model and options, live or not.

    Attributes:
        state: one word of `gateway.metrics_page.STATES`.
        worker_id: the launcher's number of the live one; 0 if none lives.
        requests: that hold or wait for a slot.
        silent_s: since the worker's last message; None if none lives.
        pieces: of answers that the live one has sent; stands still where it does not get on.
        starts: since the server's start, the first among them.
        crashes: likewise.
        rss_bytes: resident memory of the live one; None if the launcher did not say.
    """

    tenant: str
    model: str
    digest: str
    state: str
    worker_id: int
    requests: int
    silent_s: float | None
    pieces: int
    starts: int
    crashes: int
    rss_bytes: int | None = None
