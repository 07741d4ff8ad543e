"""One line of an audit chain: what it says, its canonical form, its name, and the signed seal.

Trust: gateway [net] and operator side; no I/O. Input of `parse_line`: bytes of a file that somebody
may have changed. Never holds text of a tenant: a prompt is only there as a digest under that
tenant's key.

Each line names the line before it by SHA-256 over its bytes, so that whoever signs one line (a
`seal`) signs all before it: Haber and Stornetta 1991, Schneier and Kelsey 1998. A line has one
form: what does not encode to the very bytes that were read is no line.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LINE_BYTES: Final = 8192
"""Longest line, its end included; the writer's own fields are far below."""
_CONTEXT: Final = b"corral audit seal v1\n"
"""Put before the signed bytes, so that no other signature of the same key means anything here."""

Chain = Literal["gateway", "operator"]
Kind = Literal["open", "begin", "end", "request", "more", "retired", "stop", "seal"]


class Record(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """One line. What does not apply to its kind is left out of the file.

    Attributes:
        chain: which chain the line is of.
        seq: its number in the chain, from 1, over all segments.
        prev: name of the line before it; empty in the first.
        at_ms: Unix time.
        kind: `open` begins a segment. `begin` is on the disk before a request is worked on or an
            operator's change is made, `end` is its outcome. `request` is both in one. `more` counts
            what was not written one by one. `retired` names the end of a segment before it is
            removed for its age. `stop` ends a process in good order. `seal` signs.
        id: of the request or of the operator's command, the same in `begin` and `end`.
        tenant: whose; empty where nobody was authenticated.
        key: public prefix of the credential.
        address: where it came from.
        action: `resource:action`.
        model: its name.
        sha256: the model's digest.
        prompt: HMAC-SHA256 of the prompt under the tenant's audit key.
        status: of HTTP; 0 where none was sent.
        code: `ok`, `cancelled` or an error's code; of `open` and `stop`, why.
        count: of `more`: how many.
        arguments: of the operator's command, without secrets; names of a change over HTTP.
        uid: effective user of the operator's command.
        login_uid: user who logged in, as the kernel keeps it; -1 if nobody did.
        segment: number of the segment that `open` begins, or `retired` ends.
        lost_bytes: of `open`: what the segment before ends with that is no whole line.
        head_seq: of `open`: the newest seal in the database. Of `retired`: the segment's last line.
            Of an operator's `begin`: the gateway's newest seal.
        head: the name of that line.
        signature: of `seal`: Ed25519 over the line without it.
    """

    chain: Chain
    seq: int
    prev: str
    at_ms: int
    kind: Kind
    id: str = ""
    tenant: str = ""
    key: str = ""
    address: str = ""
    action: str = ""
    model: str = ""
    sha256: str = ""
    prompt: str = ""
    status: int = 0
    code: str = ""
    count: int = 0
    arguments: dict[str, str] = {}
    uid: int = -1
    login_uid: int = -1
    segment: int = 0
    lost_bytes: int = 0
    head_seq: int = 0
    head: str = ""
    signature: bytes = b""


_DECODER: Final = msgspec.json.Decoder(Record)
_replace: Final = msgspec.structs.replace


def line_of(record: Record) -> bytes:
    """Return the line, without its end."""
    return msgspec.json.encode(record)


def parse_line(line: bytes) -> Record | None:
    """Return what a line says, or None if it is none: not of the schema, or not in its one form."""
    try:
        record = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return record if line_of(record) == line else None


def name_of(line: bytes) -> str:
    """Return the name by which the next line knows this one."""
    return hashlib.sha256(line).hexdigest()


def sealed(record: Record, key: Ed25519PrivateKey) -> Record:
    """Return a seal with its signature."""
    return _replace(record, signature=key.sign(_CONTEXT + line_of(_replace(record, signature=b""))))


def seal_holds(record: Record, key: Ed25519PublicKey) -> bool:
    """Return whether a seal was signed by the key."""
    try:
        key.verify(record.signature, _CONTEXT + line_of(_replace(record, signature=b"")))
    except InvalidSignature:
        return False
    return True
