"""Verify the certificate chain of a signature against a root that the operator trusts.

Trust: operator side; no I/O. Input: certificates of a bundle are hostile; parsed and verified by
`cryptography` (Rust). Roots, subject and name are the operator's.

    1 a path from the leaf to a trusted root, valid at the time in question
    2 every issuer is a CA that may sign certificates
    3 the leaf may make digital signatures, and code signatures if it limits its use
    4 the leaf bears the name that the operator demands
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from corral.admission.signing.dsse import HASHES
from corral.admission.signing.refusal import refused


@dataclass(frozen=True, slots=True)
class Demand:
    """The name that a leaf must bear.

    Attributes:
        subject: its only common name; empty demands none.
        san: one of its alternative names (DNS, e-mail address or URI); empty demands none.
    """

    subject: str = ""
    san: str = ""


def verify_chain(
    chain: Sequence[bytes], roots: Sequence[x509.Certificate], demand: Demand, now: datetime
) -> tuple[ec.EllipticCurvePublicKey, str]:
    """Return the leaf's key and its name.

    Args:
        chain: DER, leaf first.
        roots: trusted certificates.
        demand: who the leaf must be.
        now: when the whole path must be valid.

    Raises:
        CorralError: codes `signature_malformed`, `signer_mismatch`, `signer_expired`.
    """
    try:
        leaf, *intermediates = (x509.load_der_x509_certificate(der) for der in chain)
        key, expired = leaf.public_key(), _is_outside(leaf, now)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise refused("signature_malformed", "the bundle's certificates cannot be read") from error
    # 1, 2, 3
    verifier = (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(now)
        .extension_policies(ee_policy=_leaf_policy(), ca_policy=_issuer_policy())
        .build_client_verifier()
    )
    try:
        verifier.verify(leaf, intermediates)
    except VerificationError as error:
        if expired:
            raise refused("signer_expired", "the signer's certificate is not valid now") from error
        raise refused(
            "signer_mismatch", "the signer's certificate does not lead to the trusted root"
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in HASHES:
        raise refused("signature_unsupported", "the signer's key is not on P-256, P-384 or P-521")
    # 4
    return key, _name(leaf, demand)


def _leaf_policy() -> ExtensionPolicy:
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_code)
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_no_issuer)
    )


def _issuer_policy() -> ExtensionPolicy:
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_issuer)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_issue)
    )


def _may_sign(_policy: Policy, _leaf: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.digital_signature:
        raise ValueError("no digital signatures")


def _for_code(
    _policy: Policy, _leaf: x509.Certificate, usage: x509.ExtendedKeyUsage | None
) -> None:
    if usage is not None and ExtendedKeyUsageOID.CODE_SIGNING not in usage:
        raise ValueError("no code signing")


def _is_no_issuer(
    _policy: Policy, _leaf: x509.Certificate, limits: x509.BasicConstraints | None
) -> None:
    if limits is not None and limits.ca:
        raise ValueError("a CA signs no models")


def _is_issuer(_policy: Policy, _issuer: x509.Certificate, limits: x509.BasicConstraints) -> None:
    if not limits.ca:
        raise ValueError("not a CA")


def _may_issue(_policy: Policy, _issuer: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("may not sign certificates")


def _is_outside(leaf: x509.Certificate, now: datetime) -> bool:
    return not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc


def _name(leaf: x509.Certificate, demand: Demand) -> str:
    common = [str(name.value) for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if demand.subject and common != [demand.subject]:
        raise refused("signer_mismatch", "the signer's certificate has another subject")
    if demand.san and demand.san not in _alternatives(leaf):
        raise refused("signer_mismatch", "the signer's certificate has not the demanded name")
    return demand.san or demand.subject


def _alternatives(leaf: x509.Certificate) -> set[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return set()
    kinds = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)
    return {value for kind in kinds for value in names.get_values_for_type(kind)}
