"""The answer on its way out: sanitised (stage 7) and shaped (stage 8), streamed or whole.

Trust: gateway [net]. Input: a hostile worker's chunks, already schema-checked and bounded by
`engine.conversation`; nothing of them goes out but text and numbers put into our own shapes.
"""

from __future__ import annotations

import time

from corral.engine.wire import Chunk, End, Failed, TokenLogprob
from corral.engine.worker_link import Broken, Item
from corral.gateway.ask import Shape
from corral.gateway.errors import ApiError, failed
from corral.gateway.exchange import Exchange
from corral.gateway.keeping import Keeping
from corral.gateway.logprobs import LogprobFilter
from corral.gateway.shapes.sse import DONE, error_event
from corral.gateway.stages import Routed
from corral.guard.output import OutputFilter
from corral.telemetry.metrics import Metrics


async def send_answer(
    routed: Routed, shape: Shape, exchange: Exchange, metrics: Metrics, keeping: Keeping | None
) -> ApiError | None:
    """Send the answer of a routed request; what is to be stored is, before its end is sent.

    Returns:
        None if it was sent whole, else why not; the caller has been told either way.
    """
    first = await routed.stream.receive()
    if isinstance(first[0], Chunk):
        exchange.timeline.hear()
    if routed.ask.stream:
        return await _send_stream(routed, shape, exchange, metrics, keeping, first)
    return await _send_whole(routed, shape, exchange, keeping, first)


async def _send_stream(
    routed: Routed, shape: Shape, exchange: Exchange, metrics: Metrics, keeping: Keeping | None,
    batch: list[Item],
) -> ApiError | None:  # fmt: skip
    output = OutputFilter(routed.sanitised.chain.tokens)
    chances = LogprobFilter(routed.sanitised.chain.tokens)
    if isinstance(batch[0], Failed | Broken):
        # Nothing has been sent yet: the caller gets a status code instead of an event.
        error = failed(batch[0], routed.ask.text_param)
        await exchange.refuse(error)
        return error
    await exchange.start_stream()
    wrote_s = time.monotonic()
    metrics.first_event.add(wrote_s - exchange.started_s)
    events = [shape.head()]
    while True:
        for item in batch:
            if isinstance(item, Chunk):
                text = output.feed(item.text)
                logprobs = chances.feed(item.logprobs) if item.logprobs else ()
                if text or logprobs:
                    events.append(shape.delta(text, logprobs))
                    if keeping is not None:
                        keeping.heard(text, logprobs)
            elif isinstance(item, End):
                text, logprobs = output.flush(), chances.flush()
                if text or logprobs:
                    events.append(shape.delta(text, logprobs))
                lost = None
                if keeping is not None:
                    keeping.heard(text, logprobs)
                    lost = await keeping.keep(shape.whole(*keeping.answer(), item))
                events += (error_event(lost.body()),) if lost else (shape.tail(item), DONE)
                await exchange.write(b"".join(events), last=True)
                return lost
            else:
                error = failed(item, routed.ask.text_param)
                events.append(error_event(error.body()))
                await exchange.write(b"".join(events), last=True)
                return error
        if events:
            await exchange.write(b"".join(events))
            events.clear()
            now_s = time.monotonic()
            metrics.event_gap.add(now_s - wrote_s)
            wrote_s = now_s
        batch = await routed.stream.receive()


async def _send_whole(
    routed: Routed, shape: Shape, exchange: Exchange, keeping: Keeping | None, batch: list[Item]
) -> ApiError | None:
    output = OutputFilter(routed.sanitised.chain.tokens)
    chances = LogprobFilter(routed.sanitised.chain.tokens)
    texts: list[str] = []
    logprobs: list[TokenLogprob] = []
    while True:
        for item in batch:
            if isinstance(item, Chunk):
                texts.append(output.feed(item.text))
                logprobs += chances.feed(item.logprobs)
            elif isinstance(item, End):
                texts.append(output.flush())
                logprobs += chances.flush()
                whole = shape.whole("".join(texts), tuple(logprobs), item)
                if keeping is not None and (lost := await keeping.keep(whole)):
                    await exchange.refuse(lost)
                    return lost
                await exchange.answer(200, whole)
                return None
            else:
                error = failed(item, routed.ask.text_param)
                await exchange.refuse(error)
                return error
        batch = await routed.stream.receive()
