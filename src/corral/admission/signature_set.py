"""Signatures that a registry keeps of a manifest: handed out of the fetch jail as they came.

Trust: made in the fetch jail, parsed on the operator side. Input: hostile, bounded in number and
length. Nothing in it is believed before `admission.signing` has verified it.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

SIGNATURES: Final = 16
"""Most signatures of one kind that are looked at."""
PAYLOAD_BYTES: Final = 64 << 10
SIGNATURE_CHARS: Final = 1024
BUNDLE_BYTES: Final = 96 << 10
"""Longest bundle; a usual one has 10 KiB."""
SET_BYTES: Final = 4 << 20
"""Longest encoded set: the longest of all of these are 3.5 MiB in base64."""

_Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class SimpleSignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """cosign's older form.

    Attributes:
        payload: what was signed.
        signature: of the payload, base64.
    """

    payload: Annotated[bytes, Meta(max_length=PAYLOAD_BYTES)]
    signature: Annotated[str, Meta(max_length=SIGNATURE_CHARS)]


class SignatureSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found.

    Attributes:
        manifest: digest of the manifest that the reference led to, as the job says.
        simple: of the tag `sha256-<manifest>.sig`.
        bundles: Sigstore bundles among the manifest's referrers.
    """

    manifest: _Hex
    simple: Annotated[tuple[SimpleSignature, ...], Meta(max_length=SIGNATURES)] = ()
    bundles: Annotated[
        tuple[Annotated[bytes, Meta(max_length=BUNDLE_BYTES)], ...], Meta(max_length=SIGNATURES)
    ] = ()


_decoder: Final = msgspec.json.Decoder(SignatureSet)


def encode_set(found: SignatureSet) -> bytes:
    """Return the set as JSON."""
    return msgspec.json.encode(found)


def parse_set(raw: bytes) -> SignatureSet | None:
    """Return the set, or None if it is none."""
    if len(raw) > SET_BYTES:
        return None
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
