"""`corral list`, `corral rm`: the admitted models.

Trust: operator side. Input: catalogue entries.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from corral.cli.options import HomeOption, JsonOption, ModelArgument, open_home
from corral.cli.terminal import print_json, print_note, print_table, print_warning, size_text
from corral.core.errors import CorralError
from corral.core.home import Home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from corral.admission.catalog import CatalogEntry
    from corral.admission.receipt import ReceiptFault


def list_models(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the admitted models, and those that the policy holds back.

    Example: corral list --json
    """
    found, faults = read_catalog(open_home(home))
    note_faults(faults)
    entries = sorted(found, key=lambda e: e.name)
    if as_json:
        print_json([entry_document(entry) for entry in entries])
        return
    print_table(
        ("MODEL", ">SIZE", "TRUST", "ADMITTED", "SHA256", "SOURCE"),
        (
            (
                e.name, size_text(e.size_bytes), "held" if e.held else e.trust,
                f"{e.admitted_at:%Y-%m-%d %H:%M}", e.digest[:12], _origin(e),
            )
            for e in entries
        ),
        empty="no models: admit one with corral pull SOURCE",
    )  # fmt: skip


def _origin(entry: CatalogEntry) -> str:
    derivation = entry.receipt.derivation
    takes = "".join(f", takes {one}s" for one in sorted(entry.receipt.modalities))
    return f"derived from {derivation.base}{takes}" if derivation else entry.source


def rm(model: ModelArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Remove a model; its file goes too unless another name still uses it.

    Workers that have it loaded go on until they are stopped: corral stop MODEL.

    Example: corral rm smollm2-135m-instruct
    """
    from corral.admission.catalog_changes import remove_entry

    place = open_home(home)
    remove_entry(place, model)
    if as_json:
        print_json({"removed": model})
    else:
        print_note(f"{model} is removed")


def find_model(home: Home, name: str, *, held_too: bool = False) -> CatalogEntry:
    """Return an admitted model.

    Args:
        home: state folder.
        name: of the model.
        held_too: return it also if the policy holds it back, so that nobody may use it.

    Raises:
        CorralError: codes `no_such_model`, `model_held`, `receipt_invalid`, `receipt_outdated`.
    """
    from corral.admission.receipt import receipt_error

    entries, faults = read_catalog(home)
    for entry in entries:
        if entry.name == name and entry.held and not held_too:
            raise CorralError(
                "model_held",
                "the admission policy holds this model back",
                remedy=f"see why: corral show {name}; decide anew: corral admit {name}",
            )
        if entry.name == name:
            return entry
    if name in faults:
        raise receipt_error(name, faults[name])
    raise CorralError(
        "no_such_model",
        "no admitted model has that name",
        remedy="see the names with corral list; admit one with corral pull SOURCE",
    )


def entry_document(entry: CatalogEntry) -> dict[str, Any]:
    """Return a model as it is printed with --json."""
    derivation = entry.receipt.derivation
    return {
        "name": entry.name,
        "sha256": entry.digest,
        "identity": entry.identity,
        "size_bytes": entry.size_bytes,
        "trust": entry.trust,
        "held": entry.held,
        "source": entry.source,
        "derived_from": derivation.base if derivation else None,
        "modalities": ["text", *sorted(entry.receipt.modalities)],
        "admitted_at": entry.admitted_at.isoformat(),
    }


def note_faults(faults: Mapping[str, ReceiptFault]) -> None:
    """Print a warning on stderr for each model whose receipt does not count."""
    from corral.admission.receipt import receipt_error

    for name, fault in faults.items():
        print_warning(receipt_error(name, fault))


def read_catalog(home: Home) -> tuple[tuple[CatalogEntry, ...], Mapping[str, ReceiptFault]]:
    """Return the admitted models, and the names whose receipts do not count.

    Raises:
        CorralError: codes `receipt_key_missing`, `receipt_key_unreadable`, `database_unavailable`.
    """
    from corral.admission.catalog import Catalog
    from corral.state.connection import unavailable
    from corral.state.schema import ensure_current

    try:
        public_key = home.receipt_public_key.read_bytes()
    except FileNotFoundError as error:
        raise CorralError(
            "receipt_key_missing",
            "the key that verifies admission receipts is gone",
            remedy="corral up makes it again from the signing key, if that is there",
        ) from error
    ensure_current(home.database)  # an empty file, or one of an older version, is made whole
    try:
        with closing(Catalog(home.database, public_key)) as catalog:
            entries = (*catalog.entries().values(), *catalog.held().values())
            return entries, catalog.faults()
    except sqlite3.Error as error:
        raise unavailable() from error
