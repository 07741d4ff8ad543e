"""A model that has come as far as `Estimated`, for tests of what loads it."""

from __future__ import annotations

from dataclasses import replace

from corral.admission.derivation import Derivation, ProjectorRecord
from corral.admission.estimate import MemoryShape
from corral.admission.expectation import Expectation
from corral.admission.provenance import Provenance
from corral.admission.report import Facts, TemplateReport, make_report
from corral.admission.trusted_model import Estimated, Scanned, Verified, begin
from corral.advisories.database import Advisories
from corral.core.config import Engine
from corral.core.ids import Digest
from tests.support.memory_shapes import SMALL
from tests.support.policies import DEFAULT
from tests.support.served_template import PASSED


def estimated(
    digest: Digest,
    control_tokens: tuple[str, ...] = (),
    *,
    word_markers: tuple[str, ...] = (),
    memory: MemoryShape = SMALL,
    template: TemplateReport = PASSED,
    eyes: bool = False,
) -> Estimated:
    """Return a small model that was examined and found sound."""
    facts = Facts(
        architecture="llama", context_train_tokens=2048, block_count=1, embedding_length=1,
        head_count=1, head_count_kv=1, memory=memory, parameters=1, vocabulary_tokens=1,
        quantisation="F32", has_chat_template=True, control_tokens=control_tokens,
        word_markers=word_markers,
    )  # fmt: skip
    quarantined = begin(Provenance("file:///m")).quarantine(digest, 9)
    verified = quarantined.verify(Expectation(), Advisories.of(()))
    assert isinstance(verified, Verified)
    if eyes:
        projector = ProjectorRecord(digest="f" * 64, size_bytes=1, source="s", memory_bytes=1)
        derivation = Derivation(base="b", base_template="passed", base_template_sha256="")
        verified = replace(verified, derivation=derivation.under(projector))
    scanned = verified.scan(make_report((), facts, "s 1", template=template), DEFAULT)
    assert isinstance(scanned, Scanned)
    found = scanned.estimate(Engine(), DEFAULT)
    assert isinstance(found, Estimated)
    return found
