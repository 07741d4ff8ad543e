"""The server's TLS: 1.2 at least, certificates from memory, replaced without a restart.

Trust: gateway [net]. Input: certificate and key that the launcher opened, trusted; a new pair is
checked on the side first, so that a bad or an expired one never replaces a good one. Who may read
the key's file cannot be seen from here: `corral reload` looks.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from corral.core.errors import CorralError

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2 only: forward secrecy and authenticated encryption; 1.3 has nothing else."""


class ServerTls:
    """One live context; connections made before a reload keep their certificate.

    Attributes:
        context: what the listener uses.
    """

    def __init__(self, cert_pem: bytes, key_pem: bytes) -> None:
        """Load the first pair.

        Raises:
            CorralError: code `tls_unusable`.
        """
        self.context = _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cert_pem, key_pem)

    def reload(self, cert_pem: bytes, key_pem: bytes) -> None:
        """Use a new pair for connections from now on.

        Raises:
            CorralError: codes `tls_unusable`, `tls_cert_expired`; the old pair stays in use.
        """
        _check_dates(cert_pem)
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cert_pem, key_pem)
        _load(self.context, cert_pem, key_pem)


def _check_dates(cert_pem: bytes) -> None:
    from cryptography import x509  # for a reload only: a start does without it

    try:
        leaf = x509.load_pem_x509_certificates(cert_pem)[0]
    except ValueError as error:
        raise CorralError("tls_unusable", "the certificate is not a PEM chain") from error
    if not leaf.not_valid_before_utc <= datetime.now(UTC) < leaf.not_valid_after_utc:
        raise CorralError("tls_cert_expired", "the certificate is not valid now")


def _load(context: ssl.SSLContext, cert_pem: bytes, key_pem: bytes) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        with _private_file(cert_pem) as cert, _private_file(key_pem) as key:
            context.load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise CorralError("tls_unusable", "certificate and key cannot be used together") from error
    return context


def _no_password() -> str:
    """Answer OpenSSL's question for a pass phrase, which would else go to a terminal."""
    return ""


@contextlib.contextmanager
def _private_file(content: bytes) -> Iterator[str]:
    """Give OpenSSL, which reads only files, a name for `content` on the jail's own tmpfs."""
    fd, path = tempfile.mkstemp()  # 0600
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        yield path
    finally:
        os.unlink(path)  # noqa: PTH108 - a plain name, as mkstemp gave it
