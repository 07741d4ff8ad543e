"""One answer on its way through its policy (stage 7): text and log-probabilities, and how it ends.

Trust: gateway [net]. Input: a hostile worker's chunks, already schema-checked and bounded by
`engine.conversation`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from corral.engine.wire import Chunk, End, Failed, TokenLogprob, Usage
from corral.engine.worker_link import Broken
from corral.gateway.ask import CONTENT_FILTER, TOOL_CALLS, Said
from corral.gateway.errors import ApiError, withheld
from corral.gateway.sanitation import findings_field, may_see
from corral.gateway.shown_logprobs import ShownLogprobs
from corral.gateway.stages import Routed
from corral.guard.output_schema import SchemaWatch
from corral.guard.tool_answer import Spoken, ToolAnswer, tool_answer
from corral.guard.tool_use import ToolCall, Withheld
from corral.telemetry.metrics import Metrics

_CANCEL_S: Final = 2.0
"""How long the worker has to say what it used, once its answer was ended."""


_TURN_CHARACTERS: Final = 2048
"""Some 6 ms of the worst text that is known."""
_TURN_TOKENS: Final = 64
_CHUNK_CHARACTERS: Final = 32
"""What a chunk costs beside its characters, as so many of them."""


class Outgoing:
    """What of one answer may go out.

    Attributes:
        over: the policy has ended the answer; nothing of it goes out any more.
    """

    def __init__(self, routed: Routed) -> None:
        sanitised = routed.sanitised
        rules = sanitised.way_out
        self.over = False
        self._since = 0
        self._routed = routed
        self._policy = rules.policy
        self._chain = rules.chain(sanitised.asked)
        self._tools: ToolAnswer | None = None
        ask = routed.ask
        if ask.tools is not None and ask.tools.offered:
            self._tools = tool_answer(
                rules, self._chain, sanitised.asked, ask.tools, tainted=ask.is_tainted
            )
        self._watch: SchemaWatch | None = None
        if ask.schema is not None:
            self._watch = SchemaWatch(ask.schema, self._chain.judge)
        self._chances: ShownLogprobs | None = None
        if routed.ask.sampling.logprobs is not None:
            self._chances = ShownLogprobs(sanitised.chain.tokens, rules, sanitised.asked)

    @property
    def withheld(self) -> list[Withheld]:
        """Return the calls that the client does not get."""
        return self._tools.withheld if self._tools else []

    async def hear(self, item: Chunk | End) -> Said:
        """Return what may go out now that something has come."""
        return await (self._take(item) if isinstance(item, Chunk) else self._flush(item))

    async def _take(self, chunk: Chunk) -> Said:
        """Return what may go out of a chunk and of those before it.

        A hostile worker may send a megabyte at once, or thousands of chunks; where one is cut
        changes nothing, so others get their turn in between.
        """
        texts: list[str] = []
        calls: list[ToolCall] = []
        for at in range(0, len(chunk.text), _TURN_CHARACTERS):
            piece = chunk.text[at : at + _TURN_CHARACTERS]
            if self._tools is None:
                texts.append(self._chain.feed(piece))
            else:
                await self._speak(self._tools.feed(piece), texts, calls)
            await self._turn(len(piece))
        text = "".join(texts)
        if self._watch is not None:
            self._watch.hear(text)
        self.over = self._chain.stopped is not None
        if self._chances is None:
            return Said(text, calls=tuple(calls))
        shown: list[TokenLogprob] = []
        for at in range(0, len(chunk.logprobs), _TURN_TOKENS):
            shown += self._chances.feed(chunk.logprobs[at : at + _TURN_TOKENS])
            await asyncio.sleep(0)
        return Said(text, tuple(shown), tuple(calls))

    async def _flush(self, end: End) -> Said:
        """Return what was held back when the answer ended."""
        texts: list[str] = []
        calls: list[ToolCall] = []
        if self._tools is None:
            texts.append(self._chain.flush())
        else:
            await self._speak(self._tools.flush(), texts, calls)
        text = "".join(texts)
        if self._watch is not None:
            self._watch.hear(text)
            if end.reason != "length":  # what was cut off is not of its schema, and says so
                self._watch.close()
        self.over = self._chain.stopped is not None
        shown = self._chances.flush() if self._chances else ()
        return Said(text, shown, tuple(calls))

    async def _speak(
        self, pieces: Iterator[Spoken], texts: list[str], calls: list[ToolCall]
    ) -> None:
        for one in pieces:
            texts.append(one.text)
            if one.call is not None:
                calls.append(one.call)
            if one.looked_at:
                await self._turn(one.looked_at)

    async def _turn(self, characters: int) -> None:
        """Let others have their turn, once enough was looked at."""
        self._since += characters + _CHUNK_CHARACTERS
        if self._since >= _TURN_CHARACTERS:
            self._since = 0
            await asyncio.sleep(0)

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

    def verdict(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the header of what was seen, for who may know it and waited for the end."""
        seen = self._chain.judge.seen
        principal = self._routed.sanitised.leased.authorised.authenticated.principal
        if not seen or not may_see(principal):
            return ()
        counts = {(kind, str(self._policy.handling[kind])): n for kind, n in sorted(seen.items())}
        return ((b"x-corral-sanitation-answer", findings_field(counts)),)

    async def end(self) -> End:
        """Return the engine's end of the answer; or the policy's, which cancels the request."""
        stream = self._routed.stream
        if not self.over and isinstance(stream.outcome, End):
            end = stream.outcome
            called = self._tools is not None and self._tools.called
            return End(end.id, TOOL_CALLS, end.usage) if called and end.reason == "stop" else end
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
