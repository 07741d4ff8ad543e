"""Sigstore's way of signing: short-lived certificates for an OpenID identity, and public logs.

Trust: operator side, in the operator's own commands only: the one module that loads the optional
`sigstore` library, and only when a signer of this kind is asked for. Input: hostile bundles,
verified by that library; what it proves is only the payload and the certificate's key.

With `trusted_root` in hand verification asks nobody. Without it, Sigstore's update server is asked,
and where that cannot be reached the answer is `sigstore_offline`: never a pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from corral.admission.signing.bundle import BUNDLE_BYTES
from corral.admission.signing.dsse import HASHES, IN_TOTO
from corral.admission.signing.refusal import refused
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.admission.signing.trust_root import SigstoreRoot


def verify_sigstore(raw: bytes, root: SigstoreRoot) -> tuple[bytes, ec.EllipticCurvePublicKey]:
    """Return the payload of a bundle and the key of the certificate that signed it.

    Raises:
        CorralError: codes `signature_malformed`, `signature_unsupported`, `signature_invalid`,
            `signing_key_unusable`, `sigstore_missing`, `sigstore_offline`.
    """
    if len(raw) > BUNDLE_BYTES:
        raise refused("signature_malformed", "the signature file is too large to be one")
    try:
        from sigstore.errors import Error, VerificationError
        from sigstore.models import Bundle, InvalidBundle, TrustedRoot
        from sigstore.verify import Verifier, policy
    except ImportError as error:
        raise _library_missing() from error
    try:
        bundle = Bundle.from_json(raw)
    except (InvalidBundle, ValueError) as error:
        raise refused("signature_malformed", "the signature file is no Sigstore bundle") from error
    verifier = _verifier(root, Verifier, TrustedRoot)
    try:
        kind, payload = verifier.verify_dsse(
            bundle, policy.Identity(identity=root.identity, issuer=root.issuer)
        )
    except (VerificationError, Error) as error:
        raise refused(
            "signature_invalid", "Sigstore does not confirm that this identity signed the model"
        ) from error
    key = bundle.signing_certificate.public_key()
    if kind != IN_TOTO or not isinstance(key, ec.EllipticCurvePublicKey):
        raise refused("signature_unsupported", "what was signed is not an in-toto statement")
    if key.curve.name not in HASHES:
        raise refused("signature_unsupported", "the signer's key is not on P-256, P-384 or P-521")
    return payload, key


def sign_sigstore(payload: bytes) -> bytes:
    """Return a bundle over an in-toto statement, signed by the identity that the operator proves.

    Opens a browser, or takes the credential of the CI machine; asks Sigstore's servers.

    Raises:
        CorralError: codes `sigstore_missing`, `sigstore_offline`.
    """
    try:
        from sigstore.dsse import Statement
        from sigstore.models import ClientTrustConfig
        from sigstore.oidc import IdentityToken, Issuer, detect_credential
        from sigstore.sign import SigningContext
    except ImportError as error:
        raise _library_missing() from error
    try:
        config = ClientTrustConfig.production()
        found = detect_credential()
        issuer = Issuer(config.signing_config.get_oidc_url())
        token = IdentityToken(found) if found else issuer.identity_token()
        with SigningContext.from_trust_config(config).signer(token) as signer:
            return str(signer.sign_dsse(Statement(payload)).to_json()).encode()
    except Exception as error:  # each of its parts has errors of its own; none of them signed
        raise _offline() from error


def _verifier(root: SigstoreRoot, verifier: Any, trusted_root: Any) -> Any:
    if root.trusted_root is not None:
        try:
            return verifier(trusted_root=trusted_root.from_file(str(root.trusted_root)))
        except Exception as error:  # a broken file fails in many ways
            raise CorralError(
                "signing_key_unusable",
                "the file of Sigstore's trusted root cannot be used",
                remedy="get trusted_root.json from Sigstore's root signing repository",
            ) from error
    try:
        return verifier.production()
    except Exception as error:  # network, disk, expired metadata: nothing is proven
        raise _offline() from error


def _library_missing() -> CorralError:
    return CorralError(
        "sigstore_missing",
        "signers of the kind sigstore need an optional library that is not installed",
        remedy="pip install 'corral[sigstore]'",
    )


def _offline() -> CorralError:
    return CorralError(
        "sigstore_offline",
        "Sigstore's servers did not give what is needed, so nothing was signed or verified",
        remedy="check the network; to verify without it, name a file: --trusted-root FILE",
    )
