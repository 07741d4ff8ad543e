"""What a worker serves, as the receipt names it.

Trust: gateway [net]. Input: signed receipts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model.

    Attributes:
        identity: the file's digest, and more where the model is derived.
        template: chat template of the receipt.
    """

    identity: str
    template: str
