"""The worker's side of the wire as a state machine: any cut of the bytes, any rubbish."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.conversation import Conversation
from corral.engine.wire import (
    Chunk,
    End,
    FromWorker,
    Generate,
    Ready,
    Sampling,
    TokenLogprob,
    TopLogprob,
    Usage,
    WireError,
    encode_line,
)

USAGE = Usage(prompt_tokens=1, completion_tokens=2)
GOOD: list[FromWorker] = [Ready("e", 1), Chunk(1, "héllo"), Chunk(1, ""), End(1, "stop", USAGE)]


def conversation(tokens: int = 4, logprobs: int | None = None) -> Conversation:
    one = Conversation()
    one.opened(Generate(1, Sampling(max_tokens=tokens, logprobs=logprobs), prompt="x"))
    return one


@given(st.lists(st.integers(0, 200)))
def test_messages_come_whole_whatever_the_cuts(cuts: list[int]) -> None:
    data = b"".join(encode_line(m) for m in GOOD)
    one = conversation()
    found: list[FromWorker] = []
    last = 0
    for cut in [*sorted(cuts), len(data)]:
        found += one.feed(data[last:cut])
        last = max(last, min(cut, len(data)))
    assert found == GOOD
    assert not one.open_ids


@pytest.mark.claim("BLS-05")
@given(st.binary(max_size=300))
def test_rubbish_is_a_wire_error_or_nothing(data: bytes) -> None:
    one = conversation()
    try:
        one.feed(data)
    except WireError:
        return
    assert b"\n" not in data


def logprob(**fields: object) -> TokenLogprob:
    return TokenLogprob(**{"token": "a", "logprob": -1.0, **fields})  # type: ignore[arg-type]


@pytest.mark.claim("BLS-05")
@pytest.mark.parametrize(
    "message",
    [
        Chunk(2, "x"), Chunk(1, "x" * 2049), End(2, "stop", USAGE), End(1, "why", USAGE),
        End(1, "cancelled", USAGE), End(1, "stop", Usage(-1, 0)), End(1, "stop", Usage(1, 0, 2)),
        End(1, "stop", Usage(1, 1000)), Ready("a\x1bb", 1), Ready("x" * 300, 1),
        Chunk(1, "x", (logprob(),)),
    ],
)  # fmt: skip
def test_what_was_not_asked_for_is_a_breach(message: FromWorker) -> None:
    with pytest.raises(WireError):
        conversation().feed(encode_line(message))


@pytest.mark.parametrize(
    "token",
    [logprob(token="x" * 600), logprob(logprob=3.0), logprob(bytes=(300,)),
     logprob(bytes=(1,) * 600), logprob(top_logprobs=(TopLogprob("a", -1.0),) * 5)],
)  # fmt: skip
def test_log_probabilities_are_bounded(token: TokenLogprob) -> None:
    with pytest.raises(WireError):
        conversation(logprobs=2).feed(encode_line(Chunk(1, "x", (token,))))


@pytest.mark.claim("BLS-05")
def test_a_line_is_bounded_before_it_ends() -> None:
    one = conversation()
    piece = b"A" * 65536
    for _ in range(WIRE_LINE_BYTES // len(piece)):
        one.feed(piece)
    with pytest.raises(WireError):
        one.feed(piece)


def test_a_cancelled_request_may_say_so() -> None:
    one = conversation()
    one.cancelled(1)
    assert one.feed(encode_line(End(1, "cancelled", USAGE)))


def test_nothing_comes_after_fatal() -> None:
    one = Conversation()
    one.feed(b'{"ev":"fatal","code":"load_failed"}\n')
    with pytest.raises(WireError):
        one.feed(encode_line(Ready("e", 1)))
