"""The certificates that the operator's machine trusts, as text for a jail that has no files.

Trust: operator side. Input: files named by the machine's OpenSSL or by SSL_CERT_FILE.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Final

import certifi

from corral.core.errors import CorralError

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_BUNDLE_BYTES: Final = 3 << 20


def trusted_ca_pem() -> str:
    """Return SSL_CERT_FILE if set, else the system's bundle, else Mozilla's list of `certifi`.

    Raises:
        CorralError: code `ca_unreadable`.
    """
    path = Path(ssl.get_default_verify_paths().cafile or certifi.where())
    try:
        with path.open("rb") as file:
            found = file.read(_BUNDLE_BYTES + 1)
    except OSError as error:
        raise _unreadable() from error
    certificates = _PEM.findall(found)
    if len(found) > _BUNDLE_BYTES or not certificates:
        raise _unreadable()
    return b"\n".join(certificates).decode("ascii") + "\n"


def _unreadable() -> CorralError:
    return CorralError(
        "ca_unreadable",
        "the bundle of trusted certificates cannot be used",
        remedy="install ca-certificates, or set SSL_CERT_FILE to a PEM file of at most 3 MiB",
    )
