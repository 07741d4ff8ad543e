"""One of the files that a model came in, as receipts say it.

Trust: any zone that reads receipts; no I/O.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class PartOfModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file, whose bytes we hashed.

    Attributes:
        name: what the source calls it.
    """

    name: str
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    size_bytes: int
