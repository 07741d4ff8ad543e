"""`HOME/store/trust/<digest>`: the trust level of each admitted blob, for the launcher.

Trust: operator side, the only writer. Input: rows of the catalog, which count only if their
receipt's signature verifies. The launcher picks the sandbox tier by these marks: it cannot verify
a receipt (no third-party code) and must not believe the gateway, which asks for the model. Where
several names share a blob, its least trusted receipt decides; a blob without a mark is `untrusted`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from corral.admission.receipt import verify_receipt
from corral.admission.trust_level import Trust
from corral.core.home import Home
from corral.pki.atomic import write_atomically
from corral.state.connection import read_rows

_LEVELS: Final[tuple[Trust, ...]] = get_args(Trust)
"""Least trusted first."""


def write_trust_marks(home: Home) -> None:
    """Make the marks agree with the catalog; the caller holds `store_lock`.

    Raises:
        CorralError: code `database_unavailable`.
    """
    wanted = _trust_of_blobs(home)
    home.trust_marks.mkdir(mode=0o755, parents=True, exist_ok=True)
    for mark in home.trust_marks.iterdir():
        if mark.name not in wanted:
            mark.unlink()
    for digest, trust in wanted.items():
        mark = home.trust_marks / digest
        if not mark.is_file() or mark.read_text(encoding="ascii", errors="replace") != trust:
            write_atomically(mark, trust.encode(), mode=0o444)


def wrong_marks(home: Home) -> list[tuple[str, str]]:
    """Return the marks that do not agree with the catalog, and why; holds `store_lock`.

    Raises:
        CorralError: code `database_unavailable`.
    """
    wanted = _trust_of_blobs(home)
    there = {mark.name: mark for mark in home.trust_marks.iterdir()} if (
        home.trust_marks.is_dir()
    ) else {}  # fmt: skip
    wrong = [(name, "no admitted model has this mark") for name in there if name not in wanted]
    for digest, trust in wanted.items():
        mark = there.get(digest)
        if mark is None:
            wrong.append((digest, "the mark is missing: the model counts as untrusted"))
        elif mark.is_symlink() or not mark.is_file() or mark.read_text(errors="replace") != trust:
            wrong.append((digest, f"the mark is not {trust}, as the receipts say"))
    return sorted(wrong)


def _trust_of_blobs(home: Home) -> Mapping[str, Trust]:
    if not home.receipt_public_key.exists():
        return {}
    verify = verify_receipt(home.receipt_public_key.read_bytes())
    rows = read_rows(home.database, "SELECT name, receipt, signature FROM models")
    found: dict[str, Trust] = {}
    for name, text, signature in rows:
        receipt = verify(text, signature)
        if receipt is not None and receipt.name == name:
            known = found.get(receipt.digest, receipt.trust)
            found[receipt.digest] = min(known, receipt.trust, key=_LEVELS.index)
    return found
