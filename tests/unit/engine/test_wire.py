"""Both directions of the wire: what is sent comes back; anything else is a `WireError`."""

from __future__ import annotations

from base64 import b64decode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.limits import WIRE_LINE_BYTES
from corral.engine.media_bounds import MEDIA_BYTES, MEDIA_COUNT, MEDIA_PIECE_BYTES
from corral.engine.wire import (
    Cancel,
    Chunk,
    End,
    Failed,
    Fatal,
    FromWorker,
    Generate,
    Media,
    Message,
    Ready,
    Sampling,
    TokenLogprob,
    TopLogprob,
    ToWorker,
    Usage,
    WireError,
    decode_from_worker,
    decode_to_worker,
    encode_line,
    media_lines,
)

INTS = st.integers(-(1 << 63), (1 << 63) - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
BYTES = st.none() | st.lists(st.integers(0, 255), max_size=4).map(tuple)
TOP = st.builds(TopLogprob, TEXT, FLOATS, BYTES)
LOGPROBS = st.lists(
    st.builds(TokenLogprob, TEXT, FLOATS, BYTES, st.lists(TOP, max_size=2).map(tuple)), max_size=2
).map(tuple)
FROM_WORKER = st.one_of(
    st.builds(Ready, TEXT, INTS),
    st.builds(Fatal, TEXT),
    st.builds(Chunk, INTS, TEXT, LOGPROBS),
    st.builds(End, INTS, TEXT, st.builds(Usage, INTS, INTS, INTS)),
    st.builds(Failed, INTS, TEXT),
)
SAMPLING = st.builds(
    Sampling, INTS, st.none() | FLOATS, st.none() | FLOATS, st.none() | INTS,
    st.lists(TEXT, max_size=2).map(tuple), st.none() | FLOATS, st.none() | FLOATS,
    st.none() | INTS, st.none() | TEXT,
)  # fmt: skip
PLACED = TEXT.flatmap(
    lambda text: st.builds(
        Message, TEXT, st.just(text),
        st.lists(st.integers(0, len(text)), max_size=3).map(sorted).map(tuple),
    )
)  # fmt: skip
MESSAGES = st.none() | st.lists(PLACED, max_size=2).map(tuple)
TO_WORKER = st.one_of(
    st.builds(Cancel, INTS),
    st.builds(Media, INTS, INTS, TEXT, st.booleans()),
    st.builds(Generate, INTS, SAMPLING, MESSAGES, st.none() | TEXT),
)


@given(FROM_WORKER)
def test_what_a_worker_says_comes_back(message: FromWorker) -> None:
    line = encode_line(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_from_worker(line) == message


@given(TO_WORKER)
def test_what_the_gateway_says_comes_back(message: ToWorker) -> None:
    line = encode_line(message)
    assert line.count(b"\n") == 1
    assert decode_to_worker(line) == message


@given(st.binary(max_size=80) | FROM_WORKER.map(lambda m: encode_line(m)[:-2]))
def test_broken_lines_are_wire_errors(line: bytes) -> None:
    for decode in (decode_from_worker, decode_to_worker):
        with pytest.raises(WireError):
            decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"ev":"c","id":1,"text":"a","path":"/etc"}',
        b'{"ev":"c","id":"1","text":"a"}',
        b'{"ev":"c","id":1.5,"text":"a"}',
        b'{"ev":"c","id":1}',
        b'{"ev":"c","id":1,"text":null}',
        b'{"ev":"gen","id":1}',
        b'{"op":"cancel","id":1}',
        b'{"id":1,"text":"a"}',
        b'{"ev":"end","id":1,"reason":"stop","usage":{"prompt_tokens":1}}',
        b'{"ev":"c","id":1,"text":"\xff"}',
        b'{"ev":"c","id":1,"text":"a"} {"ev":"c","id":1,"text":"a"}',
        b"[" * 5000,
        b'{"ev":' * 5000,
        b"",
        b"null",
    ],
    ids=range(15),
)
def test_lines_that_a_worker_may_not_send(line: bytes) -> None:
    with pytest.raises(WireError):
        decode_from_worker(line)


def test_a_line_over_the_limit_is_not_sent() -> None:
    room = WIRE_LINE_BYTES - len(encode_line(Chunk(1, "")))
    assert len(encode_line(Chunk(1, "a" * room))) == WIRE_LINE_BYTES
    with pytest.raises(WireError):
        encode_line(Chunk(1, "a" * (room + 1)))


def test_defaults_are_not_sent() -> None:
    assert msgspec.json.decode(encode_line(Chunk(1, "a"))) == {"ev": "c", "id": 1, "text": "a"}


@given(
    st.lists(
        st.builds(
            lambda head, pieces, more: (head * (pieces * MEDIA_PIECE_BYTES + more))[
                : pieces * MEDIA_PIECE_BYTES + more
            ],
            st.binary(min_size=1, max_size=5), st.integers(0, 2), st.integers(0, 3),
        ),
        max_size=3,
    ).map(tuple)
)  # fmt: skip
def test_media_go_in_pieces_of_whole_triples(media: tuple[bytes, ...]) -> None:
    lines = list(media_lines(7, media))
    assert [one.index for one in lines if one.last] == list(range(len(media)))
    whole = ["".join(m.data for m in lines if m.index == n) for n in range(len(media))]
    assert [b64decode(one, validate=True) for one in whole] == list(media)


def test_a_piece_of_a_medium_fits_a_line() -> None:
    assert MEDIA_PIECE_BYTES % 3 == 0
    (line,) = media_lines((1 << 63) - 1, (b"\xff" * MEDIA_PIECE_BYTES,))
    assert len(encode_line(line)) <= WIRE_LINE_BYTES


@pytest.mark.parametrize("media", [(b"",) * (MEDIA_COUNT + 1), (b"\0" * MEDIA_BYTES, b"\0")])
def test_too_much_media(media: tuple[bytes, ...]) -> None:
    with pytest.raises(WireError):
        list(media_lines(1, media))
