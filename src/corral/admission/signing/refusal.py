"""Why a signature is not accepted, as errors with stable codes.

Trust: operator side; no I/O. Input: trusted words only; nothing of a bundle gets into a message.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from corral.core.errors import CorralError

SignatureCode = Literal[
    "signature_malformed", "signature_unsupported", "signature_invalid", "signature_mismatch",
    "signature_name", "signature_missing", "signer_mismatch", "signer_expired",
]  # fmt: skip
SIGNATURE_CODES: Final[tuple[str, ...]] = get_args(SignatureCode)

_REMEDIES: dict[str, str] = {
    "signature_malformed": "get the bundle again from whoever signed the model",
    "signature_unsupported": "have the model signed with sha256 by OpenSSF model-signing 1.0",
    "signature_invalid": "do not use this model; ask its maker for a new signature",
    "signature_mismatch": "the files are not what was signed: fetch them again, do not use them",
    "signature_name": "if the file was renamed on purpose, name what was signed: --signed-name",
    "signature_missing": "name it: --signature FILE",
    "signer_mismatch": "look whether the right signer is named; keys change by their owner only",
    "signer_expired": "ask for a signature by a key or certificate that is valid now",
}


def refused(code: SignatureCode, message: str) -> CorralError:
    """Return the error of a signature that does not count."""
    return CorralError(code, message, remedy=_REMEDIES[code])
