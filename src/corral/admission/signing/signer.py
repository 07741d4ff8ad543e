"""Who signed a model, as receipts and reports say it.

Trust: any zone that reads receipts; no I/O.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SignerKind = Literal["key", "certificate", "sigstore"]


class Signer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One verified signature.

    Attributes:
        name: of the trust root, as the operator calls it; empty if it was given by file.
        kind: how the signer is known.
        fingerprint: of the key that made the signature: `sha256:` and 64 hexadecimal digits.
        identity: name in the certificate that was demanded; empty for a key.
        signed_name: name of the file or folder when it was signed.
        bundle_sha256: digest of the signature file.
    """

    name: str
    kind: SignerKind
    fingerprint: Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
    identity: str = ""
    signed_name: str
    bundle_sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
