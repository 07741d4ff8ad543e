"""The journal of admission: what came in, was decided anew, was refused or left, and who did it.

Trust: operator side, the only reader and writer (`HOME/journal`, 0700; no jail sees it).
Input of reading: a file that only the operator's uid should have written, and that somebody with
that uid may have changed: each line is signed with the receipt key and names the line before it, so
that a change, an insertion and a line taken out of the middle show. Lines cut off at the end do
not, but for what the catalog still has.

    {"entry": TEXT, "signature": Ed25519 over JOURNAL_CONTEXT and TEXT}
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from corral.admission.receipt import Receipt
from corral.admission.signing.refusal import SIGNATURE_CODES
from corral.audit.login import login_uid
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.receipt_key import load_receipt_key
from corral.telemetry.late import LateLogger

_log: Final = LateLogger(__name__)

JOURNAL_CONTEXT: Final = b"corral admission journal v1\n"
"""Put before the signed bytes, so that a receipt's signature means nothing here."""
REFUSALS: Final = frozenset({
    "advisory_known_bad", "hash_mismatch", "not_a_projector", "not_an_adapter", "not_gguf",
    "policy_refused", "projector_for_sounds", "scan_failed", "scan_rejected", "trial_failed",
    "truncated", *SIGNATURE_CODES,
})  # fmt: skip
"""Errors of a pull that are a verdict on the model; others say nothing about it."""
_LINE_BYTES: Final = 1 << 16

What = Literal["admitted", "decided", "refused", "removed"]
How = Literal["pull", "derive", "store", "admit", "rm", "fsck"]
Fault = Literal["", "journal_form", "journal_signature", "journal_chain"]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that happened.

    Attributes:
        at: Unix seconds.
        how: by a pull, from the store, or by `corral derive`, `admit`, `rm` or `fsck`.
        name: of the model.
        sha256: of its file; empty if it was refused before anybody knew.
        source: where its bytes came from.
        outcome: of the policy; empty if it did not decide.
        signers: whose signatures were verified: kind and fingerprint.
        code: of a refusal.
        receipt_sha256: of the receipt's text, if there is one.
        uid: effective user that did it.
        login_uid: user who logged in, as the kernel keeps it (audit); -1 if nobody did.
        before: sha256 of the line before this one; empty in the first.
    """

    version: Literal[1] = 1
    at: int
    what: What
    how: How
    name: str
    sha256: str = ""
    source: str = ""
    trust: str = ""
    outcome: str = ""
    signers: tuple[str, ...] = ()
    code: str = ""
    receipt_sha256: str = ""
    uid: int = -1
    login_uid: int = -1
    before: str = ""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    entry: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line as it was read.

    Attributes:
        number: from 1.
        entry: None if it is no entry of this installation.
        fault: what is wrong with the line.
    """

    number: int
    entry: Entry | None
    fault: Fault = ""


@dataclass(slots=True)
class Attempt:
    """A pull that may be refused.

    Attributes:
        sha256: of the file, once it is known.
    """

    sha256: str = ""


def journal_file(home: Home) -> Path:
    """Return the journal's path."""
    return home.root / "journal" / "admissions.jsonl"


def note_receipt(home: Home, receipt: Receipt, text: str, how: How) -> None:
    """Write down an admission or a new decision; the caller has not yet committed it.

    Raises:
        CorralError: codes `receipt_key_unreadable`, `journal_not_written`.
    """
    append_entry(home, Entry(
        at=int(time.time()),
        what="decided" if how == "admit" else "admitted",
        how=how,
        name=receipt.name,
        sha256=receipt.digest,
        source=receipt.source,
        trust=receipt.trust,
        outcome=receipt.decision.outcome,
        signers=tuple(f"{signer.kind} {signer.fingerprint}" for signer in receipt.signers),
        receipt_sha256=hashlib.sha256(text.encode()).hexdigest(),
    ))  # fmt: skip


def note_removal(home: Home, name: str, sha256: str, how: How) -> None:
    """Write down that a model has left.

    A model must be able to leave where the disk is full or the key has gone: the log has it then,
    and `admission.audit` finds that the journal has not.
    """
    entry = Entry(at=int(time.time()), what="removed", how=how, name=name, sha256=sha256)
    try:
        append_entry(home, entry)
    except CorralError as error:
        _log.error("removal_not_in_journal", model=name, reason=error.code)


@contextmanager
def refusals_noted(home: Home, source: str, name: str, how: How = "pull") -> Iterator[Attempt]:
    """Write down whatever refusal ends the block.

    Args:
        home: state folder.
        source: what was pulled.
        name: that the model would have had.
        how: it would have come in.

    Raises:
        CorralError: codes `receipt_key_unreadable`, `journal_not_written`.
    """
    attempt = Attempt()
    try:
        yield attempt
    except CorralError as error:
        if error.code in REFUSALS:
            append_entry(home, Entry(
                at=int(time.time()), what="refused", how=how, name=name, sha256=attempt.sha256,
                source=source, code=error.code,
            ))  # fmt: skip
        raise


def append_entry(home: Home, entry: Entry) -> None:
    """Sign an entry and put it behind the others; it is on the disk when this returns.

    Raises:
        CorralError: codes `receipt_key_unreadable`, `journal_not_written`.
    """
    key = load_receipt_key(home)
    path = journal_file(home)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(path, flags, 0o600)
        with os.fdopen(fd, "r+b", buffering=0):
            fcntl.flock(fd, fcntl.LOCK_EX)
            last, whole = _last_line(fd)
            signed = msgspec.json.encode(msgspec.structs.replace(
                entry, uid=os.geteuid(), login_uid=login_uid(), before=_name_of(last)
            ))  # fmt: skip
            line = msgspec.json.encode(_Line(signed.decode(), key.sign(JOURNAL_CONTEXT + signed)))
            # What a crash left half-written stays: a line that is none, but named by the next.
            raw = (b"" if whole else b"\n") + line + b"\n"
            while raw:
                raw = raw[os.write(fd, raw) :]
            os.fsync(fd)
    except OSError as error:
        raise CorralError(
            "journal_not_written",
            "the journal of admission cannot be written, so nothing is changed",
            remedy=f"look at the disk and at who owns {path.parent}",
        ) from error


def read_journal(home: Home) -> Iterator[JournalLine]:
    """Yield each line with what is wrong with it.

    Raises:
        CorralError: code `receipt_key_unreadable`.
        OSError: file or key cannot be read.
    """
    try:
        file = journal_file(home).open("rb")
    except FileNotFoundError:
        return
    with file:
        key = load_pem_public_key(home.receipt_public_key.read_bytes())
        before = b""
        for number, raw in enumerate(iter(lambda: file.readline(_LINE_BYTES), b""), 1):
            line = raw.removesuffix(b"\n")
            yield _checked(number, line, _name_of(before), key)
            before = line


def _checked(number: int, raw: bytes, before: str, key: object) -> JournalLine:
    try:
        line = msgspec.json.decode(raw, type=_Line)
        entry = msgspec.json.decode(line.entry, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return JournalLine(number, None, "journal_form")
    try:
        if not isinstance(key, Ed25519PublicKey):
            return JournalLine(number, None, "journal_signature")
        key.verify(line.signature, JOURNAL_CONTEXT + line.entry.encode())
    except InvalidSignature:
        return JournalLine(number, None, "journal_signature")
    return JournalLine(number, entry, "" if entry.before == before else "journal_chain")


def _last_line(fd: int) -> tuple[bytes, bool]:
    """Return the last line, and whether it has its end."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, _LINE_BYTES, max(0, size - _LINE_BYTES))
    whole = not tail or tail.endswith(b"\n")
    return tail.removesuffix(b"\n").rpartition(b"\n")[2], whole


def _name_of(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest() if line else ""
