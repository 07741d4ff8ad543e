"""A file as a caller sent it: what it is said to be, and its bytes.

Trust: gateway [net]. Input: hostile bytes, bounded by `parse`; no byte of them is looked at here.
"""

from __future__ import annotations

from typing import NamedTuple

from corral.media.formats import Format, Modality


class Upload(NamedTuple):
    """One file of a request.

    Attributes:
        param: the request's field that has it.
        modality: what a model must take for it.
        format: what it is said to be; None for what no format here is.
        data: its bytes.
    """

    param: str
    modality: Modality
    format: Format | None
    data: bytes
