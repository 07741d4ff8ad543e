from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.errors import IpcError
from corral.core.limits import FRAME_BYTES
from corral.ipc.messages import Message, decode_message, encode_message
from tests.unit.ipc.messages_strategy import KINDS, MESSAGES

REQUEST_IDS = st.integers(0, (1 << 32) - 1)


@given(MESSAGES, REQUEST_IDS)
def test_every_message_comes_back_as_it_was(message: Message, request_id: int) -> None:
    frame = encode_message(message, request_id)
    assert len(frame) <= FRAME_BYTES
    assert decode_message(frame) == (message, request_id)


@given(MESSAGES, st.data())
def test_no_part_of_a_frame_is_a_frame(message: Message, data: st.DataObject) -> None:
    frame = encode_message(message, 1)
    cut = data.draw(st.integers(0, len(frame) - 1))
    with pytest.raises(IpcError) as caught:
        decode_message(frame[:cut])
    assert caught.value.code == "frame_too_short"
    with pytest.raises(IpcError) as caught:
        decode_message(frame + b"\0")
    assert caught.value.code == "frame_trailing"


@pytest.mark.claim("LCH-08")
@given(st.binary(max_size=200) | st.binary(min_size=FRAME_BYTES, max_size=FRAME_BYTES + 9))
def test_random_bytes_are_refused_or_nothing(raw: bytes) -> None:
    try:
        decoded = decode_message(raw)
    except IpcError:
        return
    if decoded is not None:
        assert encode_message(*decoded) == raw


def test_a_type_that_does_not_exist_is_nothing() -> None:
    assert decode_message(b"\xff\0\0\0\1") is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_messages_are_flat(kind: type[Any]) -> None:
    assert {item.type for item in fields(kind)} <= {"int", "bool", "str"}
