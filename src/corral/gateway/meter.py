"""What one request used, settled exactly once whatever became of it.

Trust: gateway [net]. Input: token counts of a worker, bounded by `engine.conversation`.
"""

from __future__ import annotations

import time
from typing import Final

from corral.engine.wire import End, Failed, Usage
from corral.engine.worker_link import Broken, Stream
from corral.gateway.stages import Leased
from corral.telemetry.log import get_logger
from corral.telemetry.metrics import Metrics
from corral.telemetry.timeline import Timeline
from corral.tenancy.ledger import Ledger, UsageRecord

_log: Final = get_logger("gateway.meter")


class Meter:
    """Follows one leased request to its usage record.

    Attributes:
        status: `ok`, `cancelled` or an error's code; set by the pipeline.
    """

    def __init__(
        self, leased: Leased, ledger: Ledger, request_id: str, metrics: Metrics, timeline: Timeline
    ) -> None:
        self.status = "cancelled"
        authorised = leased.authorised
        self._principal = authorised.authenticated.principal
        self._model = authorised.entry.name
        self._ledger = ledger
        self._metrics = metrics
        self._request_id = request_id
        self._timeline = timeline
        timeline.owe()
        self._lease = leased.lease
        self._started_s = time.monotonic()
        self._sent_s: float | None = None

    def sent(self, stream: Stream) -> None:
        """Note that an engine has the request from now on."""
        self._sent_s = time.monotonic()
        if self._lease.turn is not None:
            self._lease.turn.follow(stream)

    def settle(self, stream: Stream | None) -> None:
        """Record the usage: now, or when a cancelled stream has come to its end."""
        if stream is None:
            self._lease.settle(0, 0)
            self._record(Usage(prompt_tokens=0, completion_tokens=0))
        else:
            stream.when_over(lambda outcome: self._over(stream, outcome))

    def _over(self, stream: Stream, outcome: End | Failed | Broken) -> None:
        if isinstance(outcome, End):
            usage = outcome.usage
            self._lease.settle(usage.prompt_tokens, usage.completion_tokens)
            self._record(usage)
        else:
            # Nothing is given back of the reservation where tokens may have been computed.
            if isinstance(outcome, Failed) and not stream.chunks:
                self._lease.settle(0, 0)
            # The worker cannot say any more what it did: the chunks we saw are what we know.
            self._record(Usage(prompt_tokens=0, completion_tokens=stream.chunks))

    def _record(self, usage: Usage) -> None:
        now_s = time.monotonic()
        duration_s = now_s - self._started_s
        duration_ms = int(duration_s * 1000)
        self._metrics.duration.add(duration_s)
        self._timeline.settle(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
        self._metrics.tokens.add("prompt", by=usage.prompt_tokens)
        self._metrics.tokens.add("completion", by=usage.completion_tokens)
        self._metrics.tokens.add("cached", by=usage.cached_tokens)
        self._ledger.settle(
            UsageRecord(
                tenant=self._principal.tenant,
                key_id=self._principal.key_id,
                model=self._model,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                cached_tokens=usage.cached_tokens,
                status=self.status,
                duration_ms=duration_ms,
                engine_ms=int((now_s - (self._sent_s or now_s)) * 1000),
            )
        )
        _log.info(
            "request_settled",
            request_id=self._request_id, tenant=self._principal.tenant, model=self._model,
            key_prefix=self._principal.key_prefix, status=self.status, duration_ms=duration_ms,
            prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens,
        )  # fmt: skip
