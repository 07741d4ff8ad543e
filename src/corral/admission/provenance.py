"""Where the bytes of a model, or of what belongs to one, came from.

Trust: operator side; pure. Input: claims of the fetch job and of servers; digests that we made.
"""

from __future__ import annotations

from dataclasses import dataclass

from corral.admission.layer import LayerClaim
from corral.admission.part import PartOfModel


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the bytes came from, as claimed by the fetch job and the servers.

    Attributes:
        source: canonical form of what the operator asked for.
        final_url: where the last redirect led; empty for local files.
        wheel_sha256: digest of the wheel, checked by the fetch job; empty if there was none.
        revision: commit that the hub named; empty if none.
        manifest_sha256: of the registry's manifest, which we hashed; empty if there was none.
        layers: what that manifest has besides the model, as it says.
        parts: the files that were joined to these bytes, as we hashed them; empty: it was one.
    """

    source: str
    final_url: str = ""
    wheel_sha256: str = ""
    revision: str = ""
    manifest_sha256: str = ""
    layers: tuple[LayerClaim, ...] = ()
    parts: tuple[PartOfModel, ...] = ()
