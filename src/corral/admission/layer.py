"""What a registry's manifest says of the layers around a model: recorded, never believed or used.

Trust: made in the fetch jail, kept on the operator side. Input: untrusted, but bounded and
printable.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

LAYERS: Final = 256
"""Most layers of one manifest."""


class LayerClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One layer beside the model: template, parameters, licence, configuration.

    Attributes:
        media_type: its kind, as the manifest says.
        sha256: of its bytes, which were not fetched.
        title: file name in the manifest; empty if none.
    """

    media_type: Annotated[str, Meta(max_length=255, pattern=r"\A[ -~]*\Z")]
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    size_bytes: Annotated[int, Meta(ge=0, lt=1 << 53)]
    title: Annotated[str, Meta(max_length=255, pattern=r"\A[ -~]*\Z")] = ""
