"""The answer on its way out: sanitised (stage 7) and shaped (stage 8), streamed or whole.

Trust: gateway [net]. Input: a hostile worker's chunks, already schema-checked and bounded by
`engine.conversation`; nothing of them goes out but text and numbers put into our own shapes.
"""

from __future__ import annotations

import time

from corral.engine.wire import Chunk, End, Failed
from corral.engine.worker_link import Broken, Item
from corral.gateway.ask import Said, Shape, together
from corral.gateway.errors import ApiError, failed
from corral.gateway.exchange import Exchange
from corral.gateway.keeping import Keeping
from corral.gateway.outgoing import Outgoing
from corral.gateway.shapes.sse import DONE, error_event
from corral.gateway.stages import Routed
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
    return await _send_whole(routed, shape, exchange, metrics, keeping, first)


async def _send_stream(
    routed: Routed, shape: Shape, exchange: Exchange, metrics: Metrics, keeping: Keeping | None,
    batch: list[Item],
) -> ApiError | None:  # fmt: skip
    outgoing = Outgoing(routed)
    if isinstance(batch[0], Failed | Broken):
        # Nothing has been sent yet: the caller gets a status code instead of an event.
        error = _failure(routed, batch[0], metrics)
        await exchange.refuse(error)
        return error
    await exchange.start_stream()
    wrote_s = time.monotonic()
    metrics.first_event.add(wrote_s - exchange.started_s)
    events = [shape.head()]
    try:
        while True:
            for item in batch:
                if isinstance(item, Failed | Broken):
                    error = _failure(routed, item, metrics)
                    events.append(error_event(error.body()))
                    await exchange.write(b"".join(events), last=True)
                    return error
                said = await outgoing.hear(item)
                if any(said):
                    events.append(shape.delta(said))
                    if keeping is not None:
                        keeping.heard(said)
                if isinstance(item, End) or outgoing.over:
                    return await _end_stream(routed, shape, exchange, keeping, outgoing, events)
            if events:
                await exchange.write(b"".join(events))
                events.clear()
                now_s = time.monotonic()
                metrics.event_gap.add(now_s - wrote_s)
                wrote_s = now_s
            batch = await routed.stream.receive()
    finally:
        outgoing.count(metrics)


def _failure(routed: Routed, item: Failed | Broken, metrics: Metrics) -> ApiError:
    """Return why there is no answer; what the worker's own proof refused is a finding as well."""
    if isinstance(item, Failed) and item.code == "special_token":
        metrics.findings.add("special_token", "refuse", routed.sanitised.chain.policy.mode)
    return failed(item, routed.ask.text_param)


async def _end_stream(
    routed: Routed, shape: Shape, exchange: Exchange, keeping: Keeping | None, outgoing: Outgoing,
    events: list[bytes],
) -> ApiError | None:  # fmt: skip
    """Send the end of a stream: the engine's own, or that of the policy."""
    end = await outgoing.end()
    lost = None
    if keeping is not None:
        lost = await keeping.keep(shape.whole(keeping.answer(), end, outgoing.withheld))
    if lost is not None:
        events.append(error_event(lost.body()))
    else:
        events += (shape.tail(end, outgoing.withheld), outgoing.comment, DONE)
    await exchange.write(b"".join(events), last=True)
    return lost or outgoing.refusal()


async def _send_whole(
    routed: Routed, shape: Shape, exchange: Exchange, metrics: Metrics, keeping: Keeping | None,
    batch: list[Item],
) -> ApiError | None:  # fmt: skip
    outgoing = Outgoing(routed)
    heard: list[Said] = []
    try:
        while True:
            for item in batch:
                if isinstance(item, Failed | Broken):
                    error = _failure(routed, item, metrics)
                    await exchange.refuse(error)
                    return error
                heard.append(await outgoing.hear(item))
                if isinstance(item, Chunk) and not outgoing.over:
                    continue
                end = await outgoing.end()
                refused = outgoing.refusal()
                exchange.told += outgoing.verdict()
                whole = shape.whole(together(heard), end, outgoing.withheld)
                if refused is None and keeping is not None:
                    refused = await keeping.keep(whole)
                if refused is not None:
                    await exchange.refuse(refused)
                    return refused
                await exchange.answer(200, whole)
                return None
            batch = await routed.stream.receive()
    finally:
        outgoing.count(metrics)
