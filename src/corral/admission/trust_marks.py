"""`HOME/store/trust/<digest>`: the trust level of each admitted blob, for the launcher.

Trust: operator side, the only writer. Input: rows of the catalog, which count only if their
receipt's signature verifies. The launcher picks the sandbox tier by these marks: it cannot verify
a receipt (no third-party code) and must not believe the gateway, which asks for the model. Where
several names share a blob, its least trusted receipt decides; a blob without a mark is `untrusted`.

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
from corral.core.ids import Digest
from corral.pki.atomic import sync_folder, write_atomically
from corral.state.connection import read_rows

_LEVELS: Final[tuple[Trust, ...]] = get_args(Trust)
"""Least trusted first."""


def held_blobs(home: Home) -> Path:
    """Return the folder of the blobs that nobody may use."""
    return home.blobs.parent / "held"


def write_trust_marks(home: Home) -> None:
    """Make the marks and the places of blobs agree with the catalog; holds `store_lock`.

    Raises:
        CorralError: code `database_unavailable`; those of `read_standing` where there are models.
    """
    wanted, held = _levels_of_blobs(home)
    home.trust_marks.mkdir(mode=0o755, parents=True, exist_ok=True)
    for mark in home.trust_marks.iterdir():
        if mark.name not in wanted:
            mark.unlink()
    for digest, trust in wanted.items():
        mark = home.trust_marks / digest
        if not mark.is_file() or mark.read_text(encoding="ascii", errors="replace") != trust:
            write_atomically(mark, trust.encode(), mode=0o444)
    _place_blobs(home, frozenset(wanted), held)


def wrong_marks(home: Home) -> list[tuple[str, str]]:
    """Return the marks that do not agree with the catalog, and why; holds `store_lock`.

    Raises:
        CorralError: code `database_unavailable`.
    """
    wanted, held = _levels_of_blobs(home)
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


def _levels_of_blobs(home: Home) -> tuple[Mapping[str, Trust], frozenset[str]]:
    """Return the level of each blob that may be used, and the blobs that may not."""
    receipts = list(_receipts(home))
    if not receipts:
        return {}, frozenset()
    since_s = read_standing(home).installed_at
    found: dict[str, Trust] = {}
    for receipt in receipts:
        decision = receipt.decision
        if decision.outcome == "admit" and decision.decided_at >= since_s:
            known = found.get(receipt.digest, receipt.trust)
            found[receipt.digest] = min(known, receipt.trust, key=_LEVELS.index)
    return found, frozenset(one.digest for one in receipts) - found.keys()


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
    rows = read_rows(home.database, "SELECT digest FROM models")
    return digest in {named for (named,) in rows}
