"""Check the operator's own certificate and key before the server starts or reloads with them.

Trust: operator side. Input: files named by the operator, trusted but checked, at most
`FILE_BYTES` each, so that a mistake is a clear refusal and never a server that answers no one.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from corral.core.errors import CorralError
from corral.core.limits import MIB

FILE_BYTES: Final = 1 * MIB


@dataclass(frozen=True, slots=True)
class OperatorCertificate:
    """A certificate chain and key that fit together.

    Attributes:
        certificate_pem: as in the file: leaf first.
        key_pem: as in the file; kept out of `repr`.
        not_after: end of the leaf's life.
    """

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    not_after: datetime


def load_or_check_operator_certificate(
    cert_file: str | Path, key_file: str | Path, *, now: datetime | None = None
) -> OperatorCertificate:
    """Return the operator's certificate if a server can serve with it.

    Args:
        cert_file: PEM chain, leaf first.
        key_file: PEM private key, without a passphrase, closed to others.
        now: the present, for tests.

    Raises:
        CorralError: codes `tls_cert_unreadable`, `tls_key_unreadable`, `tls_key_exposed`,
            `tls_key_mismatch`, `tls_cert_expired`.
    """
    certificate_pem = _read(Path(cert_file), "tls_cert_unreadable", secret=False)
    key_pem = _read(Path(key_file), "tls_key_unreadable", secret=True)
    try:
        leaf = x509.load_pem_x509_certificates(certificate_pem)[0]
    except ValueError as error:
        raise CorralError("tls_cert_unreadable", "tls.cert_file is not a PEM chain") from error
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise CorralError(
            "tls_key_unreadable",
            "tls.key_file is not a PEM key without a passphrase",
            remedy="take the passphrase off: openssl pkey -in KEY -out KEY.plain",
        ) from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise CorralError(
            "tls_key_mismatch",
            "tls.key_file is not the key of the first certificate in tls.cert_file",
            remedy="put the server's own certificate first, then the intermediate ones",
        )
    moment = now or datetime.now(UTC)
    if not leaf.not_valid_before_utc <= moment < leaf.not_valid_after_utc:
        raise CorralError("tls_cert_expired", "the certificate in tls.cert_file is not valid now")
    return OperatorCertificate(certificate_pem, key_pem, leaf.not_valid_after_utc)


def _read(path: Path, code: str, *, secret: bool) -> bytes:
    setting = "tls.key_file" if secret else "tls.cert_file"
    try:
        # Non-blocking, so that a fifo named by mistake is refused below and never waited for.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CorralError(code, f"{setting} cannot be read") from error
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > FILE_BYTES:
            raise CorralError(code, f"{setting} is not a plain file of at most {FILE_BYTES} bytes")
        if secret and stat.S_IMODE(found.st_mode) & 0o037:
            # 0o640 stays allowed: packaged keys often belong to a group such as ssl-cert.
            raise CorralError(
                "tls_key_exposed",
                "tls.key_file can be read or changed by others",
                remedy="chmod 600 the key file",
            )
        return file.read(FILE_BYTES + 1)
