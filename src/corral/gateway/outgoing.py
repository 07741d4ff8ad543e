"""One answer on its way through its policy (stage 7): text and log-probabilities, and how it ends.

Trust: gateway [net]. Input: a hostile worker's chunks, already schema-checked and bounded by
`engine.conversation`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from corral.engine.wire import Chunk, End, Failed, Usage
from corral.engine.worker_link import Broken
from corral.gateway.ask import CONTENT_FILTER
from corral.gateway.errors import ApiError, withheld
from corral.gateway.logprobs import Logprobs
from corral.gateway.shown_logprobs import ShownLogprobs
from corral.gateway.stages import Routed
from corral.telemetry.metrics import Metrics

_CANCEL_S: Final = 2.0
"""How long the worker has to say what it used, once its answer was ended."""


class Outgoing:
    """What of one answer may go out.

    Attributes:
        over: the policy has ended the answer; nothing of it goes out any more.
    """

    def __init__(self, routed: Routed) -> None:
        sanitised = routed.sanitised
        rules = sanitised.way_out
        self.over = False
        self._routed = routed
        self._policy = rules.policy
        self._chain = rules.chain(sanitised.asked)
        self._chances = None
        if routed.ask.sampling.logprobs is not None:
            self._chances = ShownLogprobs(sanitised.chain.tokens, rules, sanitised.asked)

    def take(self, chunk: Chunk) -> tuple[str, Logprobs]:
        """Return what may go out of a chunk and of those before it."""
        text = self._chain.feed(chunk.text)
        self.over = self._chain.stopped is not None
        logprobs = self._chances.feed(chunk.logprobs) if self._chances and chunk.logprobs else ()
        return text, logprobs

    def flush(self) -> tuple[str, Logprobs]:
        """Return what was held back when the answer ended."""
        text = self._chain.flush()
        self.over = self._chain.stopped is not None
        return text, self._chances.flush() if self._chances else ()

    @property
    def comment(self) -> bytes:
        """Return the line of a stream that says why it ended early; clients pass over it."""
        stopped = self._chain.stopped
        return f": {stopped.code}\n\n".encode() if stopped else b""

    def refusal(self) -> ApiError | None:
        """Return why nothing of the answer is fit to be sent; None if what came out is."""
        stopped = self._chain.stopped
        return None if stopped is None or stopped.is_cut else withheld(stopped)

    def count(self, metrics: Metrics) -> None:
        """Count what was seen."""
        for kind, number in self._chain.judge.seen.items():
            handling = str(self._policy.handling[kind])
            metrics.findings.add(kind, handling, self._policy.mode, by=number)

    async def end(self) -> End:
        """Return the engine's end of the answer; or the policy's, which cancels the request."""
        stream = self._routed.stream
        if not self.over and isinstance(stream.outcome, End):
            return stream.outcome
        over: asyncio.Future[End | Failed | Broken] = asyncio.get_running_loop().create_future()
        stream.abandon()
        stream.when_over(lambda outcome: None if over.done() else over.set_result(outcome))
        usage = Usage(prompt_tokens=0, completion_tokens=stream.chunks)
        try:
            async with asyncio.timeout(_CANCEL_S):
                outcome = await over
        except TimeoutError:
            pass
        else:
            if isinstance(outcome, End):
                usage = outcome.usage
        return End(stream.request_id, CONTENT_FILTER, usage)
