"""Make a detached OMS v1.0 signature of a model with a key, or with a key and its certificates.

Trust: operator side. Input: the operator's model, key and certificates. Only digests are signed,
the model is not parsed. What is made here, `model-signing` verifies, and the other way round.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from corral.admission.signing.bundle import (
    MEDIA_TYPE,
    Bundle,
    Certificate,
    CertificateChain,
    PublicKeyHint,
    VerificationMaterial,
    encode_bundle,
)
from corral.admission.signing.dsse import sign_payload
from corral.admission.signing.keys import hint, read_small
from corral.core.errors import CorralError

_CHAIN: Final = 8


def load_chain(path: Path, key: ec.EllipticCurvePrivateKey) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file: the key's own first, then its issuers.

    Raises:
        CorralError: code `signing_key_unusable`: they are none, or the first is of another key.
    """
    try:
        chain = tuple(x509.load_pem_x509_certificates(read_small(path)))
        fits = len(chain) <= _CHAIN and chain[0].public_key() == key.public_key()
    except (ValueError, TypeError) as error:
        raise _unusable() from error
    if not fits:
        raise _unusable()
    return chain


def sign_with_key(
    payload: bytes, key: ec.EllipticCurvePrivateKey, chain: tuple[x509.Certificate, ...] = ()
) -> bytes:
    """Return the bundle over a statement.

    Args:
        payload: made by `make_statement`.
        key: signs it.
        chain: goes into the bundle in place of the key's hint, if there is one.
    """
    if chain:
        material = VerificationMaterial(
            x509_certificate_chain=CertificateChain(
                tuple(Certificate(one.public_bytes(Encoding.DER)) for one in chain)
            )
        )
    else:
        material = VerificationMaterial(public_key=PublicKeyHint(hint(key.public_key())))
    return encode_bundle(
        Bundle(
            media_type=MEDIA_TYPE,
            verification_material=material,
            dsse_envelope=sign_payload(payload, key),
        )
    )


def _unusable() -> CorralError:
    return CorralError(
        "signing_key_unusable",
        "the certificates do not belong to the key, or cannot be read",
        remedy="a PEM file with the key's own certificate first, then those of its issuers",
    )
