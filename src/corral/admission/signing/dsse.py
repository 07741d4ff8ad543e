"""Sign and verify a DSSE envelope with ECDSA keys.

Trust: operator side; no I/O. Input: envelopes are hostile, keys are the operator's.

https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from corral.admission.signing.bundle import Envelope, EnvelopeSignature
from corral.admission.signing.refusal import refused

IN_TOTO: Final = "application/vnd.in-toto+json"
HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
"""The hash that OMS and Sigstore pair with each curve; no other curve is accepted."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_payload(payload: bytes, key: ec.EllipticCurvePrivateKey) -> Envelope:
    """Return an envelope of type in-toto."""
    signature = key.sign(pae(IN_TOTO, payload), ec.ECDSA(HASHES[key.curve.name]))
    return Envelope(
        payload=payload, payload_type=IN_TOTO, signatures=(EnvelopeSignature(sig=signature),)
    )


def verify_envelope(envelope: Envelope, key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the payload, proven to be signed by `key`.

    The faulty encoding of model-signing before 1.0 is not accepted.

    Raises:
        CorralError: codes `signature_invalid`, `signature_unsupported`.
    """
    if envelope.payload_type != IN_TOTO:
        raise refused("signature_unsupported", "what was signed is not an in-toto statement")
    try:
        key.verify(
            envelope.signatures[0].sig,
            pae(envelope.payload_type, envelope.payload),
            ec.ECDSA(HASHES[key.curve.name]),
        )
    except InvalidSignature as error:
        raise refused(
            "signature_invalid",
            "the signature does not hold: it was changed, or another key made it",
        ) from error
    return envelope.payload
