"""`HOME/store/trust/<digest>`: the trust level of each admitted blob, for the launcher.

Trust: operator side, the only writer. Input: rows of the catalog, which count only if their
receipt's signature verifies. The launcher picks the sandbox tier by these marks: it cannot verify
a receipt (no third-party code) and must not believe the gateway, which asks for the model. Where
several names share a blob, its least trusted receipt decides; a blob without a mark is `untrusted`.

A model with an adapter or a projector laid over it has a mark of its own, under `pair_digest`:
without it the launcher starts no such pair. It does not count for the blob of the model alone, as
long as that is admitted by itself.

A blob whose names the policy all holds back lies in `HOME/store/held`, where the launcher does not
look: whatever the gateway asks for, it cannot be started. A receipt that was signed before the
standing policy was installed counts as held: the gateway's zone could put an old row back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, get_args

from corral.admission.policy.standing import read_standing
from corral.admission.receipt import Receipt, verify_receipt
from corral.admission.trust_level import Trust
from corral.core.home import Home
from corral.core.ids import Digest, pair_digest
from corral.pki.atomic import sync_folder, write_atomically
from corral.state.connection import read_rows

_LEVELS: Final[tuple[Trust, ...]] = get_args(Trust)
"""Least trusted first."""
_NAMED_BLOBS: Final = (
    "SELECT digest FROM models UNION SELECT adapter FROM models WHERE adapter IS NOT NULL"
)
"""Every blob that a row names, verified or not."""


def held_blobs(home: Home) -> Path:
    """Return the folder of the blobs that nobody may use."""
    return home.blobs.parent / "held"


def used_blobs(home: Home) -> frozenset[str]:
    """Return what must not be swept: what a row names, verified or not, and what a receipt does.

    A name that a row has may be anything: it is only ever compared, and never part of a path.

    Raises:
        CorralError: codes `database_unavailable`, `receipt_key_unreadable`.
    """
    signed = {blob for receipt in _receipts(home) for blob, _ in receipt.blobs}
    return _named_blobs(home) | signed


def write_trust_marks(home: Home) -> None:
    """Make the marks and the places of blobs agree with the catalog; holds `store_lock`.

    Raises:
        CorralError: code `database_unavailable`; those of `read_standing` where there are models.
    """
    wanted, usable, held = _levels(home)
    home.trust_marks.mkdir(mode=0o755, parents=True, exist_ok=True)
    for mark in home.trust_marks.iterdir():
        if mark.name not in wanted:
            mark.unlink()
    for digest, trust in wanted.items():
        mark = home.trust_marks / digest
        if not mark.is_file() or mark.read_text(encoding="ascii", errors="replace") != trust:
            write_atomically(mark, trust.encode(), mode=0o444)
    _place_blobs(home, usable, held)


def wrong_marks(home: Home) -> list[tuple[str, str]]:
    """Return the marks that do not agree with the catalog, and why; holds `store_lock`.

    Raises:
        CorralError: code `database_unavailable`.
    """
    wanted, _, held = _levels(home)
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
    wrong += [
        (digest, "the policy holds it back, but the launcher can start it")
        for digest in held
        if home.blob(Digest(digest)).exists()
    ]
    return sorted(wrong)


def _levels(home: Home) -> tuple[Mapping[str, Trust], frozenset[str], frozenset[str]]:
    """Return the marks, the blobs that may be used, and those that may not."""
    receipts = list(_receipts(home))
    if not receipts:
        return {}, frozenset(), frozenset()
    since_s = read_standing(home).installed_at
    alone: dict[str, Trust] = {}
    paired: dict[str, Trust] = {}
    usable: set[str] = set()
    for receipt in receipts:
        decision, laid = receipt.decision, receipt.laid
        if decision.outcome != "admit" or decision.decided_at < since_s:
            continue
        usable |= {blob for blob, _ in receipt.blobs}
        if laid is None:
            _note(alone, receipt.digest, receipt.trust)
            continue
        _note(paired, receipt.digest, receipt.trust)
        base, over = Digest(receipt.digest), Digest(laid.digest)
        _note(paired, pair_digest(base, over, laid.how), receipt.trust)
    named = frozenset(blob for one in receipts for blob, _ in one.blobs)
    return paired | alone, frozenset(usable), named - usable


def _note(marks: dict[str, Trust], name: str, trust: Trust) -> None:
    marks[name] = min(marks.get(name, trust), trust, key=_LEVELS.index)


def _receipts(home: Home) -> Iterator[Receipt]:
    if not home.receipt_public_key.exists():
        return
    verify = verify_receipt(home.receipt_public_key.read_bytes())
    for name, text, signature in read_rows(
        home.database, "SELECT name, receipt, signature FROM models"
    ):
        receipt = verify(text, signature)
        if receipt is not None and receipt.name == name:
            yield receipt


def _place_blobs(home: Home, usable: frozenset[str], held: frozenset[str]) -> None:
    folder = held_blobs(home)
    here = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    away = [digest for digest in sorted(held) if home.blob(Digest(digest)).exists()]
    if not here and not away:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    for digest in away:
        home.blob(Digest(digest)).rename(folder / digest)
    for name in sorted(here - held):
        if name in usable and not home.blob(Digest(name)).exists():
            (folder / name).rename(home.blob(Digest(name)))
        elif name in usable or not _is_named(home, name):
            (folder / name).unlink()
    sync_folder(folder)
    sync_folder(home.blobs)


def _is_named(home: Home, digest: str) -> bool:
    """Return whether a row names a blob, also one whose receipt does not verify."""
    return digest in _named_blobs(home)


def _named_blobs(home: Home) -> frozenset[str]:
    return frozenset(named for (named,) in read_rows(home.database, _NAMED_BLOBS))
