"""Changes of the catalog: a model comes into the store and the database, or leaves them.

Trust: operator side. Input: receipts that this side has signed; names that were checked.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from corral.admission.catalog import CatalogEntry, entry_of
from corral.admission.journal import How, note_receipt, note_removal
from corral.admission.lock import store_lock
from corral.admission.policy.standing import read_standing
from corral.admission.receipt import Receipt
from corral.admission.sealing import SealedBlob
from corral.admission.store import is_digest, remove_blob, store_blob
from corral.admission.trust_marks import used_blobs, write_trust_marks
from corral.admission.trusted_model import Admitted
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, ModelName
from corral.state.database import open_database, reading, writing
from corral.state.tables import models


def add_entry(
    home: Home, admitted: Admitted, receipt: Receipt, sealed: Sequence[SealedBlob], *, how: How
) -> CatalogEntry:
    """Put the blobs of an admitted model into the store and its row into the catalog.

    Blobs first, row second: a crash in between leaves blobs that `sweep_quarantine` removes.

    Raises:
        CorralError: codes `blob_changed`, `name_taken`, `policy_changed`, `database_unavailable`.
    """
    with store_lock(home):
        _check_policy(home, receipt)
        check_name(home, ModelName(receipt.name), receipt.identity)
        for blob in sealed:
            store_blob(home, admitted, blob)
        put_rows(home, [(receipt, admitted.receipt_text, admitted.signature)], how=how)
        write_trust_marks(home)
    return entry_of(receipt)


def readmit_entry(home: Home, receipt: Receipt, text: str, signature: bytes) -> CatalogEntry | None:
    """Put the row of a blob that is in the store into the catalog; None if the blob has gone.

    Raises:
        CorralError: codes `name_taken`, `policy_changed`, `database_unavailable`.
    """
    with store_lock(home):
        _check_policy(home, receipt)
        if not home.blob(Digest(receipt.digest)).is_file():
            return None
        check_name(home, ModelName(receipt.name), receipt.identity)
        put_rows(home, [(receipt, text, signature)], how="store")
        write_trust_marks(home)
    return entry_of(receipt)


def _check_policy(home: Home, receipt: Receipt) -> None:
    """Refuse what was decided while another policy came into force; holds `store_lock`."""
    if read_standing(home).policy.sha256 != receipt.decision.policy_sha256:
        raise CorralError(
            "policy_changed",
            "the admission policy was changed while this model was decided",
            remedy="pull it again: the new policy decides",
        )


def put_rows(home: Home, signed: Sequence[tuple[Receipt, str, bytes]], *, how: How) -> None:
    """Write the rows of receipts, all or none; the journal before them.

    The caller holds `store_lock` and writes the trust marks next.

    Raises:
        CorralError: codes `journal_not_written`, `receipt_key_unreadable`,
            `database_unavailable`.
    """
    with writing(open_database(home.database)) as connection:
        for receipt, text, signature in signed:
            row = {
                "digest": receipt.digest,
                "identity": receipt.identity,
                "adapter": receipt.laid.digest if receipt.laid else None,
                "size_bytes": receipt.size_bytes,
                "trust": receipt.trust,
                "source": receipt.source,
                "admitted_at": receipt.admitted_at,
                "receipt": text,
                "signature": signature,
            }
            statement = insert(models).values(name=receipt.name, **row)
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
        for receipt, text, _ in signed:
            note_receipt(home, receipt, text, how)


def check_name(home: Home, name: ModelName, identity: str) -> None:
    """Refuse a name that another artifact has.

    Raises:
        CorralError: code `name_taken`.
    """
    with reading(open_database(home.database)) as connection:
        found = connection.execute(
            select(models.c.identity).where(models.c.name == name)
        ).scalar_one_or_none()
    if found not in {None, identity}:
        raise CorralError(
            "name_taken",
            f"another model is admitted as {name}",
            remedy=f"choose another --name, or first: corral rm {name}",
        )


def remove_entry(home: Home, name: str) -> None:
    """Remove a model; each of its blobs goes too unless another name uses it.

    Its row may be a forged one, as the gateway's zone can write it: a column that is no digest
    names nothing, and a blob of which a receipt of another name verifies stays whatever rows say.

    Raises:
        CorralError: codes `no_such_model`, `database_unavailable`; those of `read_standing`,
            before anything is changed.
    """
    with store_lock(home):
        read_standing(home)  # what is left is marked by it
        with writing(open_database(home.database)) as connection:
            statement = delete(models).where(models.c.name == name)
            row = connection.execute(
                statement.returning(models.c.digest, models.c.adapter)
            ).one_or_none()
            if row is None:
                raise CorralError(
                    "no_such_model",
                    "no admitted model has that name",
                    remedy="see the names with corral list",
                )
            note_removal(home, name, row.digest if is_digest(row.digest) else "", "rm")
        named = {one for one in row if is_digest(one)}
        for digest in sorted(named - used_blobs(home)):
            remove_blob(home, digest)
        write_trust_marks(home)
