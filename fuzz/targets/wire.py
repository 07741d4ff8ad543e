"""Lines of engine workers: a line raises `WireError` or is a message that survives the way back."""

from __future__ import annotations

from corral.engine.wire import (
    Chunk,
    End,
    Failed,
    Ready,
    TokenLogprob,
    TopLogprob,
    Usage,
    WireError,
    decode_from_worker,
    encode_line,
)
from fuzz.target import Target


def check(data: bytes) -> None:
    """Decode, encode and decode again."""
    try:
        message = decode_from_worker(data)
    except WireError:
        return
    if decode_from_worker(encode_line(message)) != message:
        raise AssertionError("the message changed on its way")


TARGET = Target(
    "wire",
    check,
    (
        encode_line(Ready("engine 1", 5)),
        encode_line(Chunk(1, "text", (TokenLogprob("t", -0.5, (1, 2), (TopLogprob("u", -1.0),)),))),
        encode_line(End(1, "stop", Usage(1, 2, 3))),
        encode_line(Failed(1, "engine_error")),
    ),
)
