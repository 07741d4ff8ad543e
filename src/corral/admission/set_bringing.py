"""Bring all parts of a model into quarantine, and make the one file of them that is admitted.

Trust: operator side. Input: the operator's source; parts of anybody's, which only a jail looks
into. Whatever fails leaves nothing, except what a broken connection had brought.

    1 bring    each part, hashed by us; one that is not the demanded one ends it at once; of a
               registry all by one manifest, whatever its tag means by then
    2 plan     in a scan jail: the parts are one set, and how they become one file
    3 join     byte ranges of the parts, without looking into them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from corral.admission.bringing import Bringer, Brought, is_resumable
from corral.admission.denied import denied_by_scan
from corral.admission.expectation import Expectation
from corral.admission.joining import join_parts
from corral.admission.kept_parts import KeptParts
from corral.admission.part import PartOfModel
from corral.admission.quarantine import blobs_folder
from corral.admission.registry_source import RegistrySource
from corral.admission.scan.merge_plan import MergePlan
from corral.admission.scan.runner import Part, plan_sealed
from corral.admission.sealing import SealedBlob, too_large
from corral.admission.source import Source
from corral.admission.source_set import part_name
from corral.core.errors import CorralError
from corral.core.ids import Digest


def bring_set(bringer: Bringer, places: Sequence[Source], expect: Expectation) -> Brought:
    """Return the file that the parts are together, in quarantine.

    Args:
        bringer: brings one file.
        places: of all parts, in their order.
        expect: digests of the parts, if some are demanded.

    Raises:
        CorralError: codes of `Bringer.bring`, `plan_sealed`, `join_parts`; `hash_mismatch`,
            `scan_rejected`, `too_large`.
    """
    max_bytes = bringer.config.fetch.max_bytes
    kept, resumable = KeptParts(bringer, places), False
    brought: list[Brought] = []
    try:
        # 1
        for number, place in enumerate(places):
            demanded = expect.parts[number] if expect.parts else None
            asked = _of_one_manifest(place, brought)
            one = kept.bring(place, asked, replace(expect, sha256=demanded, parts=()))
            brought.append(one)
            _check(one.blob.digest, demanded)
            if one.manifest is not None:
                one.manifest.check_names(one.blob.digest)
            _check_size(brought, max_bytes)
        return _joined(bringer, places, brought)
    except BaseException as error:
        resumable = is_resumable(error)
        raise
    finally:
        if not resumable:
            for one in brought:
                one.blob.path.unlink(missing_ok=True)
            kept.remove()


def _joined(bringer: Bringer, places: Sequence[Source], brought: Sequence[Brought]) -> Brought:
    # 2
    bringer.progress("scan", 0, 0)
    parts = [
        Part(part_name(place), one.blob.path) for place, one in zip(places, brought, strict=True)
    ]
    plan = plan_sealed(parts, home=bringer.home, launcher=bringer.launcher)
    if not isinstance(plan, MergePlan):
        denied = denied_by_scan(plan)
        raise CorralError(denied.code, denied.message, remedy=denied.remedy)
    # 3
    blob: SealedBlob = join_parts(
        [part.path for part in parts],
        plan,
        blobs_folder(bringer.home),
        max_bytes=bringer.config.fetch.max_bytes,
        progress=bringer.progress,
    )
    made_of = tuple(
        PartOfModel(part.name, one.blob.digest, one.blob.size_bytes)
        for part, one in zip(parts, brought, strict=True)
    )
    digests, first = {part.sha256 for part in made_of}, brought[0].provenance
    provenance = replace(
        first,
        parts=made_of,
        layers=tuple(layer for layer in first.layers if layer.sha256 not in digests),
    )
    return Brought(provenance, brought[0].fetched_at, blob)


def _of_one_manifest(place: Source, brought: Sequence[Brought]) -> Source:
    manifest = brought[0].manifest if brought else None
    if manifest is None or not isinstance(place, RegistrySource):
        return place
    return replace(place, manifest=manifest.digest)


def _check_size(brought: Sequence[Brought], max_bytes: int) -> None:
    if sum(one.blob.size_bytes for one in brought) > max_bytes:
        raise too_large(max_bytes)


def _check(found: Digest, demanded: Digest | None) -> None:
    if demanded is not None and found != demanded:
        raise CorralError(
            "hash_mismatch",
            f"a part has sha256 {found}, expected {demanded}",
            remedy="find out why the file changed before you trust the new digest",
        )
