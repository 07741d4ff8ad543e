"""Verify what a registry keeps of signatures of a manifest: one that counts is enough.

Trust: operator side. Input: a set of hostile signatures as the fetch jail handed it out, which may
leave some out but cannot make one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from corral.admission.signature_set import SignatureSet, parse_set
from corral.admission.signing.cosign import (
    SignedManifest,
    verify_manifest_bundle,
    verify_simple_signing,
)
from corral.admission.signing.refusal import refused
from corral.admission.signing.trust_root import TrustedSigner
from corral.core.errors import CorralError
from corral.core.ids import Digest


def verify_attached(
    raw: bytes, trusted: TrustedSigner, now: datetime, pinned: Digest | None
) -> SignedManifest:
    """Return the proof that the trusted signer signed the manifest.

    Args:
        raw: the encoded set.
        trusted: who must have signed.
        now: the time.
        pinned: digest that the operator demands of the manifest; None: the one that the reference
            led to, which is compared with the manifest that is used later.

    Raises:
        CorralError: codes of `SignatureCode`, `sigstore_missing`, `sigstore_offline`.
    """
    found = parse_set(raw)
    if found is None:
        raise refused("signature_malformed", "what the registry keeps is no set of signatures")
    manifest = pinned or Digest(found.manifest)
    failure: CorralError | None = None
    for verify in _candidates(found, trusted, now):
        try:
            signed = verify()
            if signed.manifest == manifest:
                return signed
            raise refused("signature_mismatch", "the signature is about another manifest")
        except CorralError as error:
            if failure is None or failure.code == "signer_mismatch":
                failure = error
    raise failure or refused(
        "signature_missing", "the registry keeps no signature of this manifest"
    )


def _candidates(
    found: SignatureSet, trusted: TrustedSigner, now: datetime
) -> Iterator[Callable[[], SignedManifest]]:
    for one in found.simple:
        yield lambda one=one: verify_simple_signing(  # type: ignore[misc]
            one.payload, one.signature, trusted, now
        )
    for raw in found.bundles:
        yield lambda raw=raw: verify_manifest_bundle(raw, trusted, now)  # type: ignore[misc]
