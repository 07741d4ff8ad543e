"""Broken bytes raise `IpcError` or decode to nothing; nothing else can come out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.errors import IpcError
from corral.core.limits import FRAME_BYTES
from corral.ipc.framing import HEADER, decode_fields, decode_header, encode_fields


@dataclass(frozen=True)
class Sample:
    number: int
    flag: bool
    text: str


def code_of(frame: bytes) -> str:
    with pytest.raises(IpcError) as caught:
        decode_fields(Sample, frame)
    return caught.value.code


GOOD = encode_fields(9, 7, Sample(1, True, "é"))


def test_round_trip() -> None:
    assert decode_header(GOOD) == (9, 7)
    assert decode_fields(Sample, GOOD) == Sample(1, True, "é")


@pytest.mark.parametrize("size", range(HEADER.size, len(GOOD)))
def test_a_frame_cut_anywhere_is_too_short(size: int) -> None:
    assert code_of(GOOD[:size]) == "frame_too_short"


@pytest.mark.parametrize("size", range(HEADER.size))
def test_a_cut_header_is_too_short(size: int) -> None:
    with pytest.raises(IpcError) as caught:
        decode_header(GOOD[:size])
    assert caught.value.code == "frame_too_short"


def test_a_frame_over_the_limit() -> None:
    with pytest.raises(IpcError) as caught:
        decode_header(bytes(FRAME_BYTES + 1))
    assert caught.value.code == "frame_too_long"
    assert decode_header(bytes(FRAME_BYTES)) == (0, 0)


def test_trailing_bytes() -> None:
    assert code_of(GOOD + b"\0") == "frame_trailing"


def test_a_boolean_has_two_values() -> None:
    at = HEADER.size + 8
    assert code_of(GOOD[:at] + b"\x02" + GOOD[at + 1 :]) == "frame_field"


@pytest.mark.parametrize("raw", [b"\xff", b"\n", b"\0", b"\x1b[2J"])
def test_text_is_printable_utf8(raw: bytes) -> None:
    start = GOOD[: HEADER.size + 9]
    assert code_of(start + len(raw).to_bytes(2, "big") + raw) == "frame_field"


def test_a_text_length_over_the_limit_is_refused_before_it_is_read() -> None:
    start = GOOD[: HEADER.size + 9]
    assert code_of(start + (513).to_bytes(2, "big") + b"a" * 513) == "frame_field"
    assert code_of(start + (513).to_bytes(2, "big")) == "frame_field"


@pytest.mark.parametrize(
    "value",
    [
        Sample(-1, True, ""),
        Sample(1 << 64, True, ""),
        Sample(1, True, "a" * 513),
        Sample(1, True, "a\nb"),
        Sample(1, True, "\udcff"),
    ],
)
def test_what_the_wire_cannot_carry_is_not_sent(value: Sample) -> None:
    with pytest.raises(IpcError) as caught:
        encode_fields(1, 1, value)
    assert caught.value.code == "frame_field"


@pytest.mark.claim("LCH-08")
@given(st.binary(max_size=80))
def test_random_bytes_only_ever_raise_ipc_error(raw: bytes) -> None:
    try:
        decoded = decode_fields(Sample, raw)
    except IpcError:
        return
    assert encode_fields(0, 0, decoded)[HEADER.size :] == raw[HEADER.size :]
