"""The standing policy of an installation: `HOME/policy`, signed with the receipt key.

Trust: operator side, the only reader and writer; no other zone sees the folder. Input: files that
only the operator's uid should have written. Fail closed: what is missing, cannot be read, or is not
what was installed, is an error of everything that would decide or place a model.

    policy/standing.toml    the policy, as it was installed
    policy/standing.json    its digest, when it was installed, and a signature (Ed25519) over both
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from corral.admission.policy.document import Policy, parse_policy
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.atomic import write_atomically
from corral.pki.receipt_key import load_receipt_key

_CONTEXT: Final = b"corral standing policy v1\n"
"""Put before the signed bytes, so that a receipt's signature means nothing here."""
_REMEDY: Final = "install one: corral admit --policy FILE (`default` is the one that corral ships)"


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    policy_sha256: str
    installed_at: int
    signature: bytes

    def signed(self) -> bytes:
        return _CONTEXT + f"{self.policy_sha256} {self.installed_at}\n".encode()


@dataclass(frozen=True, slots=True)
class Standing:
    """The policy in force.

    Attributes:
        text: as it was installed.
        installed_at: Unix seconds; later than every decision before it, so that no receipt of an
            earlier policy counts as one of this.
    """

    policy: Policy
    text: bytes
    installed_at: int

    def now_s(self) -> int:
        """Return the time of a decision under this policy: never before it, whatever the clock."""
        return max(int(time.time()), self.installed_at)


def policy_folder(home: Home) -> Path:
    """Return the folder of the standing policy."""
    return home.root / "policy"


def read_standing(home: Home) -> Standing:
    """Return the policy in force.

    Raises:
        CorralError: codes `policy_missing`, `policy_unreadable`, `policy_tampered`, those of
            `parse_policy`.
    """
    folder = policy_folder(home)
    try:
        text = (folder / "standing.toml").read_bytes()
        record = msgspec.json.decode((folder / "standing.json").read_bytes(), type=_Record)
        key = load_pem_public_key(home.receipt_public_key.read_bytes())
    except FileNotFoundError as error:
        raise CorralError(
            "policy_missing",
            "this installation has no admission policy, so nothing can be decided",
            remedy=_REMEDY,
        ) from error
    except OSError as error:
        raise CorralError(
            "policy_unreadable", "the admission policy cannot be read", remedy=_REMEDY
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise _tampered() from error
    try:
        if not isinstance(key, Ed25519PublicKey):
            raise _tampered()
        key.verify(record.signature, record.signed())
    except InvalidSignature as error:
        raise _tampered() from error
    if hashlib.sha256(text).hexdigest() != record.policy_sha256:
        raise _tampered()
    return Standing(parse_policy(text), text, record.installed_at)


def install_standing(home: Home, text: bytes, *, after_s: int = 0) -> Standing:
    """Put a policy in force; the caller holds `store_lock` and decides every model anew.

    Args:
        home: state folder, initialised.
        text: the policy.
        after_s: time of the latest decision so far; the installation is later.

    Raises:
        CorralError: those of `parse_policy`; `receipt_key_unreadable`, `state_write_failed`.
    """
    policy = parse_policy(text)
    key = load_receipt_key(home)
    unsigned = _Record(policy.sha256, max(int(time.time()), after_s + 1), b"")
    record = msgspec.structs.replace(unsigned, signature=key.sign(unsigned.signed()))
    folder = policy_folder(home)
    folder.mkdir(mode=0o755, exist_ok=True)
    # Between the two writes the old record does not fit the new text: nothing is decided then.
    write_atomically(folder / "standing.toml", text, mode=0o444)
    write_atomically(folder / "standing.json", msgspec.json.encode(record), mode=0o444)
    return Standing(policy, text, record.installed_at)


def _tampered() -> CorralError:
    return CorralError(
        "policy_tampered",
        "the admission policy is not the one that was installed here",
        remedy=f"find out who changed it, then {_REMEDY}",
    )
