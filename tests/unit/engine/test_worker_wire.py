"""The worker's plain side of the wire and the gateway's strict schema of it say the same."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.limits import WIRE_LINE_BYTES
from corral.engine import plain_json, worker_wire
from corral.engine.media_bounds import MEDIA_BYTES, MEDIA_COUNT
from corral.engine.wire import (
    Cancel,
    Chunk,
    End,
    Failed,
    Fatal,
    Generate,
    Load,
    Media,
    Message,
    Ready,
    Sampling,
    TokenLogprob,
    ToWorker,
    Usage,
    WireError,
    decode_from_worker,
    decode_to_worker,
    encode_line,
    media_lines,
)
from corral.engine.worker_wire import Gathered, LineError, encode_lines, parse_line, parse_load
from tests.unit.engine.test_wire import FLOATS, INTS, LOGPROBS, TEXT, TO_WORKER

VALUES = st.recursive(
    st.none() | st.booleans() | INTS | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([
    "op", "id", "sampling", "messages", "prompt", "role", "content", "max_tokens", "stop", "seed",
    "top_p", "path", "media", "index", "data", "last",
])  # fmt: skip


def heard(line: dict[str, Any]) -> object:
    return decode_from_worker(encode_lines([line])[:-1])


def token(one: TokenLogprob) -> dict[str, Any]:
    """A log-probability as the worker builds it: unset fields are left out."""
    line = msgspec.to_builtins(one)
    return {k: v for k, v in line.items() if v is not None and (k, v) != ("top_logprobs", ())}


@given(INTS, TEXT, LOGPROBS)
def test_the_gateway_hears_chunks(number: int, text: str, logprobs: tuple) -> None:
    line = worker_wire.chunk(number, text, [token(one) for one in logprobs])
    assert heard(line) == Chunk(number, text, logprobs)


@given(INTS, INTS, TEXT, INTS, INTS)
def test_the_gateway_hears_the_rest(a: int, b: int, text: str, c: int, d: int) -> None:
    assert heard(worker_wire.ready(text, a, b)) == Ready(text, a, b)
    assert heard(worker_wire.fatal(text)) == Fatal(text)
    assert heard(worker_wire.end(a, text, b, c, d)) == End(a, text, Usage(b, c, d))
    assert heard(worker_wire.failed(a, text)) == Failed(a, text)


@given(TEXT.filter(bool), st.lists(TEXT, max_size=4))
def test_the_worker_hears_which_template_it_gets(template: str, texts: list[str]) -> None:
    assert parse_load(encode_line(Load(template, tuple(texts)))[:-1]) == (template, texts)


@pytest.mark.claim("TPL-03")
@pytest.mark.parametrize(
    "line", [b"", b"1", b"{}", b'{"op":"load"}', b'{"op":"load","template":""}',
             b'{"op":"gen","template":"a"}', b'{"op":"load","template":"a","more":1}',
             b'{"op":"load","template":"a","special":"b"}',
             b'{"op":"load","template":"a","special":[1]}'],
)  # fmt: skip
def test_a_worker_without_a_template_loads_nothing(line: bytes) -> None:
    with pytest.raises(LineError):
        parse_load(line)


@given(TO_WORKER)
def test_the_worker_hears_the_gateway(message: ToWorker) -> None:
    found = parse_line(encode_line(message)[:-1])
    assert found.id == message.id
    if isinstance(message, Cancel):
        assert isinstance(found, worker_wire.Cancel)
        return
    if isinstance(message, Media):
        assert isinstance(found, worker_wire.Media)
        assert (found.index, found.data) == (message.index, message.data)
        assert found.last is message.last
        return
    assert isinstance(found, worker_wire.Generate)
    sampling = msgspec.to_builtins(message.sampling)
    assert found.sampling == {k: list(v) if k == "stop" else v for k, v in sampling.items()}
    assert found.prompt == message.prompt
    said = None if message.messages is None else [
        {"role": m.role, "content": m.content} | ({"media": list(m.media)} if m.media else {})
        for m in message.messages
    ]  # fmt: skip
    assert found.messages == said


def changed(value: Any, draw: st.DrawFn) -> Any:
    """Return JSON with one place of it replaced, removed or added to."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: changed(value[name], draw)}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [changed(value[0], draw), *value[1:]]
    if isinstance(value, dict) and draw(st.booleans()):
        name = draw(NAMES)
        return {**value, name: draw(VALUES)} if draw(st.booleans()) else {
            k: v for k, v in value.items() if k != name
        }  # fmt: skip
    return draw(VALUES)


@given(TO_WORKER, st.data())
def test_the_worker_takes_nothing_that_the_schema_refuses(
    message: ToWorker, data: st.DataObject
) -> None:
    line = plain_json.encode(changed(msgspec.json.decode(encode_line(message)), data.draw))
    try:
        parse_line(line)
    except LineError:
        return
    decode_to_worker(line)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"null", b"[]", b"{}", b'"gen"', b"\xff", b"[" * 5000, b'{"op":' * 5000,
        b'{"op":"gen","id":1}',
        b'{"op":"gen","id":"1","sampling":{"max_tokens":1}}',
        b'{"op":"gen","id":1,"sampling":{}}',
        b'{"op":"gen","id":1,"sampling":{"max_tokens":1,"id_slot":0}}',
        b'{"op":"gen","id":1,"sampling":{"max_tokens":1},"path":"/etc"}',
        b'{"op":"gen","id":1,"sampling":{"max_tokens":1},"messages":[{"role":"user"}]}',
        b'{"op":"gen","id":true,"sampling":{"max_tokens":1}}',
        b'{"op":"gen","id":1,"sampling":{"max_tokens":1,"top_p":NaN}}',
        b'{"op":"cancel"}',
        b'{"op":"cancel","id":1,"more":1}',
        b'{"op":"cancel","id":1} {"op":"cancel","id":1}',
        b'{"op":"end","id":1}',
        b'{"id":1}',
    ],
    ids=range(21),
)  # fmt: skip
def test_lines_that_both_sides_refuse(line: bytes) -> None:
    with pytest.raises(LineError):
        parse_line(line)
    with pytest.raises(WireError):
        decode_to_worker(line)


def test_a_line_over_the_limit_is_not_sent() -> None:
    room = WIRE_LINE_BYTES - len(encode_lines([worker_wire.chunk(1, "", [])]))
    assert len(encode_lines([worker_wire.chunk(1, "a" * room, [])])) == WIRE_LINE_BYTES
    with pytest.raises(LineError):
        encode_lines([worker_wire.chunk(1, "a" * (room + 1), [])])


@given(VALUES)
def test_plain_json_is_json(value: object) -> None:
    line = plain_json.encode(value)
    assert b"\n" not in line
    assert msgspec.json.decode(line) == plain_json.decode(line) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: 2}.keys()])
def test_what_is_not_json(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        plain_json.encode(value)


def test_lone_surrogates_do_not_break_the_wire() -> None:
    assert heard(worker_wire.chunk(1, "a\ud800b", [])) == Chunk(1, "a?b")


def test_a_request_has_its_fields() -> None:
    assert isinstance(decode_to_worker(b'{"op":"cancel","id":1}'), Cancel)
    sample = decode_to_worker(b'{"op":"gen","id":1,"sampling":{"max_tokens":1}}')
    assert isinstance(sample, Generate)


def given_to(media: tuple[bytes, ...], places: tuple[int, ...], *, number: int = 1) -> list[str]:
    """Return what a request of the worker has after the lines of the gateway."""
    gathered = Gathered()
    for piece in media_lines(1, media):
        found = parse_line(encode_line(piece)[:-1])
        assert isinstance(found, worker_wire.Media)
        gathered.add(found)
    asked = Generate(number, Sampling(1), (Message("user", "ab", places),))
    request = parse_line(encode_line(asked)[:-1])
    assert isinstance(request, worker_wire.Generate)
    gathered.give(request)
    return request.media


def test_a_request_has_its_media_in_their_order() -> None:
    large = bytes(range(256)) * 4096
    found = given_to((b"one", large, b""), (0, 1, 2))
    assert [b64decode(one, validate=True) for one in found] == [b"one", large, b""]
    assert given_to((), ()) == []


@pytest.mark.parametrize(
    ("media", "places", "number"),
    [((b"a",), (), 1), ((), (1,), 1), ((b"a",), (1, 1), 1), ((b"a",), (1,), 2)],
)
def test_media_without_their_request(
    media: tuple[bytes, ...], places: tuple[int, ...], number: int
) -> None:
    with pytest.raises(LineError):
        given_to(media, places, number=number)


@pytest.mark.parametrize(
    "pieces",
    [
        [(1, 1, "", True)],
        [(1, 0, "", True), (1, 0, "", True)],
        [(1, 0, "", False), (1, 1, "", True)],
        [(1, 0, "", False), (2, 0, "", True)],
        [(1, 0, "", True), (2, 1, "", True)],
        [(1, 0, "A" * (MEDIA_BYTES // 3 * 4 + 4 * MEDIA_COUNT + 1), True)],
        [(1, number, "", True) for number in range(MEDIA_COUNT + 1)],
    ],
    ids=range(7),
)
def test_pieces_out_of_order_or_too_many(pieces: list[tuple[int, int, str, bool]]) -> None:
    gathered = Gathered()
    with pytest.raises(LineError):
        for number, index, data, last in pieces:
            gathered.add(worker_wire.Media(number, index, data, last=last))


def test_a_request_before_the_end_of_its_media() -> None:
    gathered = Gathered()
    gathered.add(worker_wire.Media(1, 0, "QQ==", last=False))
    with pytest.raises(LineError):
        gathered.give(worker_wire.Generate(1, {}, [{"role": "u", "content": "", "media": [0]}]))


@pytest.mark.parametrize("places", ["[2]", "[-1]", "[1,0]", "[true]", "1", "[0.5]"])
def test_media_stand_in_their_message_in_order(places: str) -> None:
    line = (
        b'{"op":"gen","id":1,"sampling":{"max_tokens":1},'
        b'"messages":[{"role":"user","content":"a","media":%s}]}' % places.encode()
    )
    with pytest.raises(LineError):
        parse_line(line)
