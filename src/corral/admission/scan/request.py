"""What a scan job is asked besides the file itself: one line on its stdin.

Trust: operator side writes it, the scan jail reads it. The other files lie in the folder beside,
under fixed names; how they are called where they came from is a claim to be checked.

    part-0, part-1, ...   further parts of a set
    model                 the model that the file is for
    template              chat template that is served in place of the model's own
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

REQUEST_BYTES: Final = 1 << 19
MODEL_FILE: Final = "model"
TEMPLATE_FILE: Final = "template"

Companion = Literal["", "base", "target"]
_Name = Annotated[str, Meta(max_length=255)]


def part_file(number: int) -> str:
    """Return the name in the folder beside of the part that `ScanRequest.parts[number]` names."""
    return f"part-{number}"


class ScanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scan.

    Attributes:
        deep: look at every weight, however long it takes.
        name: how the file is called; matters for a part of a set only.
        parts: how the other parts of its set are called.
        companion: what the model beside is: the `base` of an adapter, projector or control vector,
            the `target` of a draft, or nothing.
        scale: with which an adapter will be laid over its base.
        template: examine the chat template beside in place of the file's own.
        merge: answer how the parts become one file, if they are sound, in place of a report.
    """

    deep: bool = False
    name: _Name = ""
    parts: Annotated[tuple[_Name, ...], Meta(max_length=999)] = ()
    companion: Companion = ""
    merge: bool = False
    template: bool = False
    scale: float = 1.0


_decoder: Final = msgspec.json.Decoder(ScanRequest)


def encode_request(request: ScanRequest) -> bytes:
    """Return the request as one line."""
    return msgspec.json.encode(request) + b"\n"


def parse_request(line: bytes) -> ScanRequest:
    """Return the request of a line; an empty one asks for nothing special.

    Raises:
        msgspec.DecodeError: the line is no request.
    """
    return _decoder.decode(line) if line.strip() else ScanRequest()
