"""What the operator trusts to sign models: a key, a certificate root with a name, an identity.

Trust: operator side. Input: `[trust.signers.NAME]` of the configuration, or options of
`corral verify`; both trusted, but checked, so that an error never trusts more than was meant.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from corral.admission.signing.certificate import Demand
from corral.admission.signing.keys import parse_public_key, read_small
from corral.core.config import Config
from corral.core.errors import ConfigError, CorralError


@dataclass(frozen=True, slots=True)
class KeyRoot:
    """A bare public key."""

    key: ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class CertificateRoot:
    """Certificates under which a name was issued.

    Attributes:
        at_issue: judge the chain as of the leaf's first valid second, as model-signing does, so
            that a certificate that has expired since still counts.
    """

    roots: tuple[x509.Certificate, ...]
    demand: Demand
    at_issue: bool = False


@dataclass(frozen=True, slots=True)
class SigstoreRoot:
    """An identity that an OpenID issuer vouched for.

    Attributes:
        trusted_root: file with Sigstore's keys; None: ask Sigstore's servers for it.
    """

    identity: str
    issuer: str
    trusted_root: Path | None = None


@dataclass(frozen=True, slots=True)
class TrustedSigner:
    """A trust root under a name.

    Attributes:
        valid_from, valid_until: outside of these the signer does not count; None is no bound.
    """

    name: str
    root: KeyRoot | CertificateRoot | SigstoreRoot
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Return whether the signer counts at this time."""
        begun = self.valid_from is None or self.valid_from <= now
        return begun and (self.valid_until is None or now < self.valid_until)


@dataclass(frozen=True, slots=True)
class SignerTable:
    """One table `[trust.signers.NAME]`; which fields are needed depends on `kind`."""

    kind: str = ""
    public_key: str = ""
    certificates: str = ""
    subject: str = ""
    san: str = ""
    certificate_time: str = "now"
    identity: str = ""
    issuer: str = ""
    trusted_root: str = ""
    valid_from: str = ""
    valid_until: str = ""


def find_signer(config: Config, name: str, base: Path) -> TrustedSigner:
    """Return the signer that the configuration knows under a name.

    Args:
        config: effective configuration.
        name: what the operator typed.
        base: folder that relative file names of the configuration start from.

    Raises:
        CorralError: code `unknown_signer`.
        ConfigError: codes `config_unknown_key`, `config_type`, `config_value`.
    """
    table = config.trust.signers.get(name)
    if table is None:
        raise CorralError(
            "unknown_signer",
            "no signer of that name is trusted",
            remedy="write [trust.signers.NAME] into corral.toml; see docs/signing.md",
        )
    entry = _entry(name, table)
    return TrustedSigner(
        name, _root(name, entry, base), _day(name, entry.valid_from), _day(name, entry.valid_until)
    )


def load_key_root(path: Path) -> KeyRoot:
    """Return the root of a PEM file with a public key.

    Raises:
        CorralError: code `signing_key_unusable`.
    """
    try:
        return KeyRoot(parse_public_key(read_small(path)))
    except (ValueError, TypeError) as error:
        raise _unusable("the public key") from error


def load_certificate_root(path: Path, demand: Demand, *, at_issue: bool = False) -> CertificateRoot:
    """Return the root of a PEM file with certificates.

    Raises:
        CorralError: code `signing_key_unusable`.
    """
    try:
        roots = tuple(x509.load_pem_x509_certificates(read_small(path)))
    except ValueError as error:
        raise _unusable("the root certificate") from error
    return CertificateRoot(roots, demand, at_issue)


def _entry(name: str, table: dict[str, str]) -> SignerTable:
    for key, value in table.items():
        if key not in {field.name for field in fields(SignerTable)}:
            raise ConfigError("config_unknown_key", f"no such setting: trust.signers.{name}.{key}")
        if not isinstance(value, str):
            raise ConfigError("config_type", f"trust.signers.{name}.{key} must be of type str")
    return SignerTable(**table)


def _root(name: str, entry: SignerTable, base: Path) -> KeyRoot | CertificateRoot | SigstoreRoot:
    match entry.kind:
        case "key" if entry.public_key and not _others(entry, "public_key"):
            return load_key_root(base / entry.public_key)
        case "certificate" if (
            entry.certificates
            and (entry.subject or entry.san)
            and entry.certificate_time in {"now", "issue"}
            and not _others(entry, "certificates", "subject", "san")
        ):
            return load_certificate_root(
                base / entry.certificates,
                Demand(entry.subject, entry.san),
                at_issue=entry.certificate_time == "issue",
            )
        case "sigstore" if (
            entry.identity
            and entry.issuer
            and entry.trusted_root
            and not _others(entry, "identity", "issuer", "trusted_root")
        ):
            return SigstoreRoot(entry.identity, entry.issuer, base / entry.trusted_root)
    raise ConfigError(
        "config_value",
        f"trust.signers.{name} needs kind = key with public_key; certificate with certificates and "
        "subject or san (certificate_time: now, issue); or sigstore with identity, issuer and "
        "trusted_root; and nothing of another kind",
    )


def _others(entry: SignerTable, *own: str) -> bool:
    names = {
        "public_key", "certificates", "subject", "san", "identity", "issuer", "trusted_root",
    }  # fmt: skip
    return any(getattr(entry, name) for name in names - set(own))


def _day(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            "config_value", f"trust.signers.{name}: a time is written 2027-01-31 or with T12:00:00Z"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _unusable(what: str) -> CorralError:
    return CorralError(
        "signing_key_unusable",
        f"{what} of the signer cannot be used",
        remedy="a PEM file: a public key on P-256, P-384 or P-521, or certificates",
    )
