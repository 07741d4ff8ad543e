"""Encode and decode one launcher message as bytes; no I/O.

Trust: trusted base. Input: untrusted bytes, at most `FRAME_BYTES`; every length is checked before
anything is allocated, and bytes left over are an error.

    frame   = type (u8) request-id (u32) field*        all integers big-endian
    field   = u64 | bool (u8, 0 or 1) | text
    text    = length (u16) UTF-8 bytes, printable only
"""

from __future__ import annotations

import struct
from dataclasses import fields
from typing import Final, TypeVar

from corral.core.errors import IpcError
from corral.core.limits import FRAME_BYTES

HEADER: Final = struct.Struct("!BI")
_U64: Final = struct.Struct("!Q")
_U16: Final = struct.Struct("!H")
_TEXT_BYTES: Final = 512

_Message = TypeVar("_Message")


def encode_fields(type_number: int, request_id: int, message: object) -> bytes:
    """Return the frame of a flat dataclass of int, bool and str.

    Raises:
        IpcError: code `frame_field` for a value the wire cannot carry.
    """
    parts = [HEADER.pack(type_number, request_id)]
    for item in fields(message):  # type: ignore[arg-type]
        value = getattr(message, item.name)
        if isinstance(value, bool):
            parts.append(b"\x01" if value else b"\x00")
        elif isinstance(value, int):
            if not 0 <= value < 1 << 64:
                raise IpcError("frame_field", f"{item.name} is out of range")
            parts.append(_U64.pack(value))
        else:
            raw = str(value).encode(errors="replace")
            if len(raw) > _TEXT_BYTES or not str(value).isprintable():
                raise IpcError("frame_field", f"{item.name} is too long or not printable")
            parts.append(_U16.pack(len(raw)) + raw)
    return b"".join(parts)


def decode_header(frame: bytes) -> tuple[int, int]:
    """Return (type number, request id).

    Raises:
        IpcError: codes `frame_too_long`, `frame_too_short`.
    """
    if len(frame) > FRAME_BYTES:
        raise IpcError("frame_too_long", "the frame is over its limit")
    if len(frame) < HEADER.size:
        raise IpcError("frame_too_short", "the frame has no header")
    number, request_id = HEADER.unpack_from(frame)
    return number, request_id


def decode_fields(kind: type[_Message], frame: bytes) -> _Message:
    """Return the message of type `kind` in `frame`.

    Raises:
        IpcError: codes `frame_too_short`, `frame_field`, `frame_trailing`.
    """
    offset = HEADER.size
    values: list[object] = []
    for item in fields(kind):  # type: ignore[arg-type]
        if item.type == "int":
            raw = _take(frame, offset, _U64.size)
            offset += _U64.size
            values.append(_U64.unpack(raw)[0])
        elif item.type == "bool":
            raw = _take(frame, offset, 1)
            offset += 1
            if raw not in {b"\x00", b"\x01"}:
                raise IpcError("frame_field", f"{item.name} is not a boolean")
            values.append(raw == b"\x01")
        else:
            (length,) = _U16.unpack(_take(frame, offset, _U16.size))
            offset += _U16.size
            if length > _TEXT_BYTES:
                raise IpcError("frame_field", f"{item.name} is too long")
            values.append(_text(_take(frame, offset, length), item.name))
            offset += length
    if offset != len(frame):
        raise IpcError("frame_trailing", "the frame has bytes after its last field")
    return kind(*values)


def _take(frame: bytes, offset: int, size: int) -> bytes:
    if offset + size > len(frame):
        raise IpcError("frame_too_short", "the frame ends inside a field")
    return frame[offset : offset + size]


def _text(raw: bytes, name: str) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise IpcError("frame_field", f"{name} is not UTF-8") from error
    if not text.isprintable():
        raise IpcError("frame_field", f"{name} is not printable")
    return text
