"""From an admission to its entry in a lock file, and from there to what a pull must demand.

Trust: operator side; no I/O. Input: verified receipts; entries of a lock file, strictly read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from corral.admission.expectation import Expectation
from corral.admission.lock_file import Lock, LockedModel, LockedSigner
from corral.admission.receipt import Receipt
from corral.admission.registry_source import RegistrySource
from corral.admission.signing.demand import SignatureDemand
from corral.admission.signing.signer import Signer
from corral.admission.source import (
    HttpsSource,
    HubSource,
    LocalSource,
    PypiSource,
    Source,
    parse_source,
)
from corral.core.errors import CorralError
from corral.core.ids import Digest


@dataclass(frozen=True, slots=True)
class LockedDemand:
    """What a pull must ask for and demand.

    Attributes:
        source: for `pull_model`, with the revision or the manifest that was locked.
        expect: every digest that was locked.
        demand: the signer that was locked.
    """

    source: str
    expect: Expectation
    demand: SignatureDemand | None


def check_lockable(place: Source) -> None:
    """Refuse a source that no lock file can hold.

    Raises:
        CorralError: code `lock_source`: a URL's query may be a credential.
    """
    if isinstance(place, HttpsSource) and urlsplit(place.url).query:
        raise CorralError(
            "lock_source",
            "a URL with a query may be a credential, so it is not written into a lock file",
            remedy="pull it with --no-lock, or from an address without a query",
        )


def lock_model(
    place: Source, receipt: Receipt, demand: SignatureDemand | None, folder: Path
) -> LockedModel:
    """Return the entry of a model that was just admitted.

    Args:
        place: what the operator asked for.
        receipt: of the admission.
        demand: the signature that was demanded.
        folder: of the lock file.

    Raises:
        CorralError: codes `lock_source`, `lock_derived`.
    """
    check_lockable(place)
    if receipt.derivation is not None:
        raise CorralError(
            "lock_derived",
            "a derived model cannot be written into a lock file, which has sources only",
            remedy="lock its base, and derive it again",
        )
    signer = next(iter(receipt.signers), None)
    # Of bytes that the store had already, these are about where they once came from.
    asked = receipt.source == str(place)
    return LockedModel(
        source=locked_source(place, folder),
        sha256=receipt.digest,
        size_bytes=receipt.size_bytes,
        revision=(receipt.revision or None) if asked else None,
        wheel_sha256=(receipt.wheel_sha256 or None) if asked else None,
        manifest_sha256=(receipt.manifest_sha256 or None) if asked else None,
        parts_sha256=tuple(part.sha256 for part in receipt.parts),
        signed_by=_lock_signer(signer, demand, folder) if signer else None,
    )


def locked_source(place: Source, folder: Path) -> str:
    """Return a source as a lock file has it: a file below its folder without that folder."""
    return _shown_path(place.path, folder) if isinstance(place, LocalSource) else str(place)


def demand_of(locked: LockedModel, folder: Path) -> LockedDemand:
    """Return what a pull must demand to reproduce an entry.

    Args:
        locked: the entry.
        folder: of the lock file.

    Raises:
        CorralError: code `bad_source`.
    """
    if "://" not in locked.source:
        place = parse_source(str(folder / locked.source))
    else:
        place = parse_source(locked.source)
    manifest = Digest(locked.manifest_sha256) if locked.manifest_sha256 else None
    if isinstance(place, HubSource) and locked.revision:
        place = replace(place, revision=locked.revision)
    if isinstance(place, RegistrySource) and manifest:
        place = replace(place, manifest=manifest)
    wheel = locked.wheel_sha256 if isinstance(place, PypiSource) else None
    expect = Expectation.parse(sha256=locked.sha256, wheel_sha256=wheel)
    text = str(place.path) if isinstance(place, LocalSource) else str(place)
    parts = tuple(map(Digest, locked.parts_sha256))
    expect = replace(expect, manifest_sha256=manifest, parts=parts)
    return LockedDemand(text, expect, _demand(locked, folder))


def demand_besides(
    lock: Lock, name: str, asked: LockedDemand, place: Source, folder: Path
) -> LockedDemand:
    """Return what a pull must demand that a lock file has something to say about.

    Args:
        lock: the file.
        name: of the model.
        asked: what the operator demands; an entry about another source says nothing of it.
        place: of `asked.source`.
        folder: of the lock file.

    Raises:
        CorralError: code `lock_mismatch`: the operator demands something else than the file.
    """
    locked = lock.models.get(name)
    if locked is None or locked.source != locked_source(place, folder):
        return asked
    wanted = demand_of(locked, folder)
    pairs = [
        (asked.expect.sha256, wanted.expect.sha256),
        (asked.expect.wheel_sha256, wanted.expect.wheel_sha256),
        (asked.expect.parts, wanted.expect.parts),
        (asked.demand and asked.demand.signed_by, wanted.demand and wanted.demand.signed_by),
    ]
    if any(one and other and one != other for one, other in pairs):
        raise CorralError(
            "lock_mismatch",
            "the lock file has another digest or signer of this model than the one demanded here",
            remedy="to replace it by what the source has now: --upgrade",
        )
    expect = replace(
        wanted.expect, wheel_sha256=wanted.expect.wheel_sha256 or asked.expect.wheel_sha256
    )
    return LockedDemand(wanted.source, expect, wanted.demand or asked.demand)


def is_met(locked: LockedModel, receipt: Receipt) -> bool:
    """Return whether an admission has already demanded all that an entry demands."""
    expected = locked.wheel_sha256, locked.manifest_sha256
    demanded = receipt.wheel_sha256_demanded, receipt.manifest_sha256_demanded
    found = receipt.wheel_sha256, receipt.manifest_sha256
    return (
        receipt.derivation is None
        and receipt.sha256_demanded
        and locked.parts_sha256 == tuple(part.sha256 for part in receipt.parts)
        and (receipt.digest, receipt.size_bytes) == (locked.sha256, locked.size_bytes)
        and all(
            e is None or (d and e == f) for e, d, f in zip(expected, demanded, found, strict=True)
        )
        and (locked.signed_by is None or any(_is_by(s, locked.signed_by) for s in receipt.signers))
    )


def _is_by(signer: Signer, locked: LockedSigner) -> bool:
    return (
        (signer.name, signer.kind) == (locked.name, locked.kind)
        and locked.fingerprint in {None, signer.fingerprint}
        and locked.identity in {None, signer.identity}
    )


def _lock_signer(signer: Signer, demand: SignatureDemand | None, folder: Path) -> LockedSigner:
    named = demand.signature if demand else None
    return LockedSigner(
        name=signer.name,
        kind=signer.kind,
        # A Sigstore key lives for minutes: who is meant says the identity.
        fingerprint=signer.fingerprint if signer.kind != "sigstore" else None,
        identity=signer.identity or None,
        signature=_shown_path(named, folder) if named else None,
        signed_name=demand.signed_name if demand else None,
    )


def _demand(locked: LockedModel, folder: Path) -> SignatureDemand | None:
    signer = locked.signed_by
    if signer is None:
        return None
    return SignatureDemand(
        signer.name,
        folder / signer.signature if signer.signature else None,
        signer.signed_name,
        signer.fingerprint,
        signer.identity,
    )


def _shown_path(path: Path, folder: Path) -> str:
    absolute = path.expanduser().absolute()
    try:
        return f"./{absolute.relative_to(folder)}"
    except ValueError:
        return str(absolute)
