"""The order of admission cannot be gone around."""

import pytest

from corral.admission.expectation import Expectation
from corral.admission.report import Facts, Finding, Report, make_report
from corral.admission.trial import TrialResult
from corral.admission.trusted_model import (
    Admitted,
    Denied,
    Fetched,
    Provenance,
    Quarantined,
    Scanned,
    Trialled,
    Verified,
    begin,
)
from corral.advisories.database import Advisories
from corral.core.errors import CorralError
from corral.core.ids import Digest
from tests.support.served_template import PASSED

DIGEST = Digest("a" * 64)
OTHER = Digest("b" * 64)
FACTS = Facts(
    architecture="llama", context_train_tokens=1, block_count=1, embedding_length=1, head_count=1,
    head_count_kv=1, kv_bytes_per_token=1, weights_bytes=1, parameters=1, vocabulary_tokens=1,
    quantisation="F32", has_chat_template=False, control_tokens=(),
)  # fmt: skip
NONE_BAD = Advisories.of(())
CLEAN = make_report((), FACTS, "s 1", template=PASSED)


def quarantined(wheel_sha256: str = "") -> Quarantined:
    return begin(Provenance("file:///m", wheel_sha256=wheel_sha256)).quarantine(DIGEST, 9)


def verified(expect: Expectation | None = None) -> Verified:
    result = quarantined().verify(expect or Expectation(), NONE_BAD)
    assert isinstance(result, Verified)
    return result


@pytest.mark.claim("ADM-01")
@pytest.mark.parametrize("kind", [Fetched, Quarantined, Verified, Scanned, Trialled, Admitted])
def test_no_proof_can_be_made_by_hand(kind: type) -> None:
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        kind(**dict.fromkeys(names))
    with pytest.raises(TypeError):
        kind(**dict.fromkeys(names) | {"seal": object()})


def test_the_whole_way() -> None:
    scanned = verified(Expectation(sha256=DIGEST)).scan(CLEAN)
    assert isinstance(scanned, Scanned)
    trialled = scanned.trial(TrialResult(ok=True, code="", engine="e 1"))
    assert isinstance(trialled, Trialled)
    admitted = trialled.admit("{}", b"sig")
    assert admitted.digest == DIGEST
    assert trialled.scanned.verified.trust == "verified"


def test_trust_follows_from_what_was_demanded() -> None:
    assert verified().trust == "untrusted"
    by_wheel = quarantined(OTHER).verify(Expectation(wheel_sha256=OTHER), NONE_BAD)
    assert isinstance(by_wheel, Verified)
    assert by_wheel.trust == "verified"


@pytest.mark.claim("ADM-02")
@pytest.mark.parametrize("expect", [Expectation(sha256=OTHER), Expectation(wheel_sha256=OTHER)])
def test_another_digest_is_denied(expect: Expectation) -> None:
    result = quarantined().verify(expect, NONE_BAD)
    assert isinstance(result, Denied)
    assert result.code == "hash_mismatch"


@pytest.mark.claim("ADM-04")
@pytest.mark.parametrize(
    ("report", "code"),
    [
        (make_report((Finding("magic", "reject", "m"),), None, "s"), "not_gguf"),
        (make_report((Finding("truncated", "reject", "m"),), None, "s"), "truncated"),
        (make_report((Finding("data_extent", "reject", "m"),), None, "s"), "truncated"),
        (make_report((Finding("n_kv", "reject", "m", "k"),), FACTS, "s"), "scan_rejected"),
        (make_report((Finding("causal_attn", "flag", "m"),), FACTS, "s"), "scan_rejected"),
        (make_report((), None, "s"), "scan_failed"),
        (Report("accept", (), None, "s"), "scan_failed"),
    ],
)
def test_only_an_accepting_report_with_facts_goes_on(report: Report, code: str) -> None:
    result = verified().scan(report)
    assert isinstance(result, Denied)
    assert result.code == code
    assert result.findings == report.findings


def test_a_failed_trial_is_denied() -> None:
    scanned = verified().scan(CLEAN)
    assert isinstance(scanned, Scanned)
    result = scanned.trial(TrialResult(ok=False, code="model_load_failed"))
    assert isinstance(result, Denied)
    assert result.code == "trial_failed"


def test_expectations_are_digests() -> None:
    assert Expectation.parse(sha256="sha256:" + "A" * 64).sha256 == DIGEST
    assert Expectation.parse() == Expectation()
    with pytest.raises(CorralError):
        Expectation.parse(wheel_sha256="abc")
