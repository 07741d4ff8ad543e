"""Both chains of an installation, checked together.

Trust: operator side; reads only. Input: as `audit.verify`.

The operator's chain comes first: each command in it names the newest seal that the gateway's chain
had then, and what it names must be there.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from corral.audit.heads import read_head
from corral.audit.operator import operator_folder
from corral.audit.verify import ChainReport, verify_chain
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.audit_key import audit_public_key


def verify_log(home: Home) -> list[ChainReport]:
    """Check the gateway's chain and the operator's.

    Raises:
        CorralError: codes `audit_key_unreadable`, `receipt_key_missing`, `audit_unsafe`,
            `database_unavailable`.
        OSError: a file cannot be read.
    """
    head = read_head(home.database, "operator")
    operator = verify_chain(operator_folder(home), "operator", _receipt_key(home), head)
    head = read_head(home.database, "gateway")  # before the files: they may grow meanwhile
    public = audit_public_key(home)
    gateway = verify_chain(home.state, "gateway", public, head, operator.seen)
    return [gateway, operator]


def _receipt_key(home: Home) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(home.receipt_public_key.read_bytes())
    except (FileNotFoundError, ValueError) as error:
        raise _missing() from error
    if not isinstance(key, Ed25519PublicKey):
        raise _missing()
    return key


def _missing() -> CorralError:
    return CorralError(
        "receipt_key_missing",
        "the key that verifies the operator's audit log is gone",
        remedy="restore the state folder's secrets/receipt.pub from a backup",
    )
