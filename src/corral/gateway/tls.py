"""The server's TLS: 1.2 at least, certificates from memory, replaced without a restart.

Trust: gateway [net]. Input: certificate and key that the launcher opened, trusted; a new pair is
checked on the side first, so that a bad or an expired one never replaces a good one. Who may read
the key's file cannot be seen from here: `corral reload` looks. Client certificates: the library
checks chain, purpose, dates and CRL; who somebody is says `tenancy.certificate`.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, Self

from corral.core.errors import CorralError
from corral.telemetry.log import get_logger
from corral.tenancy.certificate import (
    UNUSABLE,
    ClientCertificate,
    ClientTrust,
    parse_client_certificate,
)

_log: Final = get_logger("gateway.tls")

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2 only: forward secrecy and authenticated encryption; 1.3 has nothing else."""


class ServerTls:
    """One live context; connections made before a reload keep their certificate.

    Attributes:
        context: what the listener uses.
    """

    def __init__(
        self,
        cert_pem: bytes,
        key_pem: bytes,
        trust: Callable[[], ClientTrust | None] = lambda: None,
    ) -> None:
        """Load the first pair.

        Args:
            cert_pem: chain, leaf first.
            key_pem: its key.
            trust: says who may sign client certificates now.

        Raises:
            CorralError: code `tls_unusable`.
        """
        self._pair = (cert_pem, key_pem)
        self._trust_now = trust
        self._trust: ClientTrust | None = None
        self._context = _load(_Context(), cert_pem, key_pem)

    @property
    def context(self) -> ssl.SSLContext:
        """For the next handshake. A change of who may sign makes a new one, and none lives on."""
        trust = self._trust_now()
        if trust != self._trust:
            self._context, self._trust = _load(_Context(trust), *self._pair), trust
        return self._context

    def reload(self, cert_pem: bytes, key_pem: bytes) -> None:
        """Use a new pair for connections from now on.

        Raises:
            CorralError: codes `tls_unusable`, `tls_cert_expired`; the old pair stays in use.
        """
        _check_dates(cert_pem)
        self._context = _load(_Context(self._trust), cert_pem, key_pem)
        self._pair = (cert_pem, key_pem)


class _Context(ssl.SSLContext):
    """A server's context.

    Where client certificates are taken it speaks TLS 1.3 only, in which they are not sent in the
    clear, and gives no tickets: a resumed session would bring its certificate without its chain
    and revocation being looked at again.

    Attributes:
        trust: `ClientTrust.digest` of the authorities; empty if no certificates are taken.
    """

    trust = ""

    def __new__(cls, _trust: ClientTrust | None = None) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, trust: ClientTrust | None = None) -> None:
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        if trust is None:
            return
        self.minimum_version = ssl.TLSVersion.TLSv1_3
        self.num_tickets = 0
        self.options |= ssl.OP_NO_TICKET
        self.verify_mode = ssl.CERT_REQUIRED if trust.required else ssl.CERT_OPTIONAL
        if "-----BEGIN X509 CRL-----" in trust.pem:
            self.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        try:
            with _private_file(trust.pem.encode()) as path:
                self.load_verify_locations(cafile=path)
        except (ssl.SSLError, OSError, ValueError) as error:
            # Without authorities no certificate is good: who shows one does not get in.
            _log.error("client_ca_unusable", reason=type(error).__name__)
        self.trust = trust.digest


def shown_certificate(tls: object) -> ClientCertificate | None:
    """Return what a connection's handshake proved of its client; None if it showed nothing.

    Args:
        tls: the `ssl_object` of its transport.
    """
    if not isinstance(tls, ssl.SSLObject) or not isinstance(tls.context, _Context):
        return None
    der = tls.getpeercert(binary_form=True) if tls.context.trust else None
    if der is None:
        return None
    return UNUSABLE if tls.session_reused else parse_client_certificate(der, tls.context.trust)


def _check_dates(cert_pem: bytes) -> None:
    from cryptography import x509  # for a reload only: a start does without it

    try:
        leaf = x509.load_pem_x509_certificates(cert_pem)[0]
    except ValueError as error:
        raise CorralError("tls_unusable", "the certificate is not a PEM chain") from error
    if not leaf.not_valid_before_utc <= datetime.now(UTC) < leaf.not_valid_after_utc:
        raise CorralError("tls_cert_expired", "the certificate is not valid now")


def _load(context: ssl.SSLContext, cert_pem: bytes, key_pem: bytes) -> ssl.SSLContext:
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
