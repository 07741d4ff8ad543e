"""Admit a file that the store has already, because the operator named its digest.

Trust: operator side. Input: the operator's source and expectation; catalog entries whose receipts
verified. The bytes are known to the last one, so nothing is fetched, scanned or tried again; that
holds only for what is checked here, and the receipt says that it was so.

    1 an admission of these bytes, and nothing besides, by the scanner, the procedure and the
      engine of today; in the wheel or under the manifest that is demanded, if one is
    2 the blob is in the store, and is the regular file that was admitted
    3 a local source is a regular file with these very bytes; a remote one is not asked
    4 no advisory names bytes or signer; a demanded signature covers them under the demanded name
    5 a worker with the configuration of now fits under every ceiling
    6 the standing policy decides anew, by the provenance of then and the demands of now
    7 receipt: provenance of the earlier admission, and what was asked for now
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import closing

import msgspec

from corral.admission.catalog import Catalog, CatalogEntry
from corral.admission.catalog_changes import check_name, readmit_entry
from corral.admission.demand import make_demand
from corral.admission.denied import Denied, denied_as_bad, denied_as_held
from corral.admission.expectation import Expectation
from corral.admission.policy.standing import read_standing
from corral.admission.progress import Progress
from corral.admission.receipt import PROCEDURE, Receipt, sign_receipt
from corral.admission.redecision import decided_anew
from corral.admission.report import SCANNER
from corral.admission.sealing import hash_file, open_local_file
from corral.admission.signing.verification import SignedModel
from corral.admission.source import LocalSource, Source
from corral.admission.trial import installed_engine
from corral.advisories.database import Advisories
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, ModelName
from corral.pki.receipt_key import load_receipt_key


def readmit(
    home: Home,
    source: Source,
    name: ModelName,
    expect: Expectation,
    *,
    config: Config,
    progress: Progress,
    signed: SignedModel | None = None,
    file_name: str = "",
    known_bad: Advisories,
) -> CatalogEntry | None:
    """Admit a file of the store under a name, or return None: it has to go the whole way.

    Raises:
        CorralError: codes of `open_local_file`, `SignedModel.refusal`, `make_demand`; `too_large`,
            `hash_mismatch`, `name_taken`, `policy_refused`, `policy_changed`,
            `database_unavailable`, `receipt_key_unreadable`; those of `read_standing`.
    """
    # 1, 2
    old = stored_admission(home, expect)
    if old is None or expect.sha256 is None:
        return None
    if old.parts and isinstance(source, LocalSource):
        return None  # the files are hashed on the whole way
    # 3
    check_name(home, name, expect.sha256)
    max_bytes = config.fetch.max_bytes
    if old.size_bytes > max_bytes:
        return None
    if isinstance(source, LocalSource):
        _check_local(source, expect.sha256, max_bytes, progress)
    keys = (signed.signer.fingerprint,) if signed else ()
    bad = known_bad.about(
        (expect.sha256, old.wheel_sha256, *(part.sha256 for part in old.parts)), keys
    )
    if bad is not None:
        raise _refused(denied_as_bad(bad))
    # 4
    files = [(Digest(part.sha256), part.name) for part in old.parts]
    for digest, called in files or [(expect.sha256, file_name)]:
        refusal = signed.refusal(digest, called) if signed else None
        if refusal is not None:
            raise refusal
    # 5
    estimate = make_demand(old, config.engine).estimate
    # 6
    asked = msgspec.structs.replace(
        old,
        name=name,
        estimate=estimate,
        sha256_demanded=True,
        wheel_sha256_demanded=old.wheel_sha256_demanded or expect.wheel_sha256 is not None,
        manifest_sha256_demanded=old.manifest_sha256_demanded or expect.manifest_sha256 is not None,
        signers=(signed.signer,) if signed else (),
        readmitted_from_store=True,
        asked_source=str(source),
        admitted_at=int(time.time()),
    )
    standing = read_standing(home)
    receipt = decided_anew(asked, standing.policy, now_s=standing.now_s())
    if receipt.decision.outcome == "hold":
        raise _refused(denied_as_held(receipt.decision))
    # 7
    text, signature = sign_receipt(receipt, load_receipt_key(home))
    return readmit_entry(home, receipt, text, signature)


def _refused(denied: Denied) -> CorralError:
    return CorralError(denied.code, denied.message, remedy=denied.remedy)


def stored_admission(home: Home, expect: Expectation) -> Receipt | None:
    """Return the receipt of an admitted blob of the store that meets a demand, or None.

    Its checks are those of today. The digest of a wheel or a manifest around it was checked when
    it was fetched, if the receipt names it: of two receipts of the same bytes one may.

    Raises:
        CorralError: code `database_unavailable`.
    """
    today = (SCANNER, PROCEDURE, installed_engine())
    with closing(Catalog(home.database, home.receipt_public_key.read_bytes())) as catalog:
        found = [
            entry.receipt
            for entry in catalog.entries().values()
            if entry.digest == expect.sha256
            and entry.receipt.derivation is None  # its template is not what the file has
            and expect.wheel_sha256 in {None, entry.receipt.wheel_sha256}
            and expect.manifest_sha256 in {None, entry.receipt.manifest_sha256}
            and expect.parts in {(), tuple(part.sha256 for part in entry.receipt.parts)}
            and (entry.receipt.scanner, entry.receipt.procedure, entry.receipt.engine) == today
        ]
    latest = max(found, key=lambda receipt: receipt.admitted_at, default=None)
    return latest if latest and _is_stored(home, latest) else None


def _is_stored(home: Home, receipt: Receipt) -> bool:
    try:
        facts = home.blob(Digest(receipt.digest)).lstat()
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_size == receipt.size_bytes


def _check_local(source: LocalSource, demanded: Digest, max_bytes: int, progress: Progress) -> None:
    fd = open_local_file(source.path)
    try:
        found = hash_file(
            fd, max_bytes=max_bytes, moved=lambda done, total: progress("copy", done, total)
        )
    finally:
        os.close(fd)
    if found != demanded:
        raise CorralError(
            "hash_mismatch",
            f"the file has sha256 {found}, expected {demanded}",
            remedy="find out why the file changed before you trust the new digest",
        )
