"""The order of admission cannot be gone around."""

import pytest

from corral.admission.denied import Denied
from corral.admission.derivation import AdapterRecord, Derivation, identity_of
from corral.admission.expectation import Expectation
from corral.admission.policy.document import Policy
from corral.admission.provenance import Provenance
from corral.admission.receipt import make_receipt
from corral.admission.redecision import decided_anew, subject_of
from corral.admission.report import Facts, Finding, Kind, ProjectorFacts, Report, make_report
from corral.admission.trial import TrialResult
from corral.admission.trusted_model import (
    Admitted,
    Decided,
    Estimated,
    Fetched,
    Quarantined,
    Scanned,
    ScannedLaid,
    Trialled,
    Verified,
    begin,
)
from corral.advisories.database import Advisories
from corral.core.config import Engine
from corral.core.errors import CorralError
from corral.core.ids import Digest, ModelName
from tests.support.memory_shapes import SMALL
from tests.support.policies import ANYTHING, DEFAULT, policy
from tests.support.served_template import PASSED

DIGEST = Digest("a" * 64)
OTHER = Digest("b" * 64)
FACTS = Facts(
    architecture="llama", context_train_tokens=1, block_count=1, embedding_length=1, head_count=1,
    head_count_kv=1, memory=SMALL, parameters=1, vocabulary_tokens=1,
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


def estimated_of(scanned: Scanned) -> Estimated:
    estimated = scanned.estimate(Engine(), DEFAULT)
    assert isinstance(estimated, Estimated)
    return estimated


@pytest.mark.claim("ADM-01")
@pytest.mark.parametrize(
    "kind", [Fetched, Quarantined, Verified, Scanned, Estimated, Trialled, Decided, Admitted]
)
def test_no_proof_can_be_made_by_hand(kind: type) -> None:
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        kind(**dict.fromkeys(names))
    with pytest.raises(TypeError):
        kind(**dict.fromkeys(names) | {"seal": object()})


@pytest.mark.claim("ADM-01")
def test_an_adapter_is_laid_over_a_derived_model_and_no_other() -> None:
    with pytest.raises(TypeError):
        ScannedLaid(
            seal=object(), record=AdapterRecord(digest="f", size_bytes=1, scale=1, source="s")
        )
    report = make_report((), None, "s 1", "adapter")
    scanned = verified().scan_laid(report, scale=500, fetched_at=1)
    assert isinstance(scanned, ScannedLaid)
    with pytest.raises(TypeError, match="derived"):
        verified().lay(scanned)
    derivation = Derivation(base="b", base_template="passed", base_template_sha256="")
    derived = quarantined().derive(DIGEST, derivation, NONE_BAD, expect=Expectation(), signers=())
    assert isinstance(derived, Verified)
    laid = derived.lay(scanned)
    assert laid.derivation is not None
    assert laid.derivation.adapter is not None
    assert (laid.derivation.adapter.digest, laid.derivation.adapter.scale) == (DIGEST, 500)
    kinds: tuple[Kind, ...] = ("control_vector", "projector")
    for kind in kinds:
        found = make_report((), None, "s 1", kind)
        other = verified().scan_laid(found, scale=1, fetched_at=1)
        assert isinstance(other, Denied)
        assert other.code == "not_an_adapter"


@pytest.mark.claim("VISION-01")
@pytest.mark.parametrize(
    ("kind", "found", "code"),
    [
        ("adapter", None, "not_a_projector"),
        ("projector", None, "not_a_projector"),
        ("projector", (False, True), "projector_for_sounds"),
        ("projector", (True, True), "projector_for_sounds"),
        ("projector", (False, False), "projector_for_sounds"),
        ("projector", (True, False), ""),
    ],
)
def test_a_projector_is_laid_over_a_model_if_it_is_for_images(
    kind: Kind, found: tuple[bool, bool] | None, code: str
) -> None:
    facts = found and ProjectorFacts(images=found[0], sounds=found[1], memory_bytes=9)
    report = make_report((), None, "s 1", kind, projector=facts or None)
    scanned = verified().scan_laid(report, scale=None, fetched_at=1)
    if code:
        assert isinstance(scanned, Denied)
        assert scanned.code == code
        return
    assert isinstance(scanned, ScannedLaid)
    assert scanned.record.how == "projector"
    derivation = Derivation(base="b", base_template="passed", base_template_sha256="")
    laid = derivation.under(scanned.record)
    assert (laid.adapter, laid.laid) == (None, scanned.record)
    assert identity_of(DIGEST, "t", laid) != identity_of(DIGEST, "t", derivation)


def test_the_whole_way() -> None:
    scanned = verified(Expectation(sha256=DIGEST)).scan(CLEAN, DEFAULT)
    assert isinstance(scanned, Scanned)
    trialled = estimated_of(scanned).trial(TrialResult(ok=True, code="", engine="e 1"))
    assert isinstance(trialled, Trialled)
    decided = trialled.decide(DEFAULT, now_s=7)
    assert isinstance(decided, Decided)
    assert (decided.trust, decided.decision.rule) == ("verified", "demanded")
    assert (decided.decision.policy_sha256, decided.decision.decided_at) == (DEFAULT.sha256, 7)
    assert decided.admit("{}", b"sig").digests == {DIGEST}


def trialled_by(policy: Policy, stage: Verified) -> Trialled:
    scanned = stage.scan(CLEAN, policy)
    assert isinstance(scanned, Scanned)
    trialled = estimated_of(scanned).trial(TrialResult(ok=True, code="", engine="e 1"))
    assert isinstance(trialled, Trialled)
    return trialled


def test_trust_follows_from_what_was_demanded() -> None:
    by_wheel = quarantined(OTHER).verify(Expectation(wheel_sha256=OTHER), NONE_BAD)
    assert isinstance(by_wheel, Verified)
    for stage, trust in ((verified(), "untrusted"), (by_wheel, "verified")):
        decided = trialled_by(DEFAULT, stage).decide(DEFAULT, now_s=0)
        assert isinstance(decided, Decided)
        assert decided.trust == trust


@pytest.mark.claim("POL-04")
def test_what_the_policy_refuses_is_neither_tried_nor_admitted() -> None:
    strict = policy(ANYTHING.replace("why", 'signers = ["lab"]\nwhy'))
    early = verified().scan(CLEAN, strict)
    assert isinstance(early, Denied)
    assert early.code == "policy_refused"
    # A policy that changed meanwhile is asked again at the end; control: the first one admits.
    trialled = trialled_by(DEFAULT, verified())
    late = trialled.decide(strict, now_s=0)
    assert isinstance(late, Denied)
    assert late.code == "policy_refused"
    assert isinstance(trialled.decide(DEFAULT, now_s=0), Decided)
    assert not hasattr(trialled, "admit")


def test_a_flag_goes_on_only_where_the_policy_lets_it() -> None:
    flagged = make_report((Finding("causal_attn", "flag", "m"),), FACTS, "s", template=PASSED)
    assert isinstance(verified().scan(flagged, DEFAULT), Denied)
    assert isinstance(verified().scan(flagged, policy(ANYTHING)), Scanned)
    rejected = make_report((Finding("n_kv", "reject", "m"),), FACTS, "s", template=PASSED)
    assert isinstance(verified().scan(rejected, policy(ANYTHING)), Denied)


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
    result = verified().scan(report, DEFAULT)
    assert isinstance(result, Denied)
    assert result.code == code
    assert result.findings == report.findings


def test_a_failed_trial_is_denied() -> None:
    scanned = verified().scan(CLEAN, DEFAULT)
    assert isinstance(scanned, Scanned)
    result = estimated_of(scanned).trial(TrialResult(ok=False, code="model_load_failed"))
    assert isinstance(result, Denied)
    assert result.code == "trial_failed"


def test_expectations_are_digests() -> None:
    assert Expectation.parse(sha256="sha256:" + "A" * 64).sha256 == DIGEST
    assert Expectation.parse() == Expectation()
    with pytest.raises(CorralError):
        Expectation.parse(wheel_sha256="abc")


@pytest.mark.claim("POL-04")
def test_what_takes_too_much_memory_for_the_policy_is_not_tried() -> None:
    small = policy(ANYTHING.replace("why", "memory_bytes_max = 1_000_000\nwhy"))
    scanned = verified().scan(CLEAN, small)
    assert isinstance(scanned, Scanned)  # nothing speaks against it yet
    denied = scanned.estimate(Engine(), small)
    assert isinstance(denied, Denied)
    assert denied.code == "policy_refused"
    assert "memory for a worker of at most 1,000,000" in denied.message
    assert not isinstance(scanned.estimate(Engine(), policy(ANYTHING)), Denied)  # control


def test_a_receipt_has_the_facts_that_were_decided_by() -> None:
    decided = trialled_by(DEFAULT, verified(Expectation(sha256=DIGEST))).decide(DEFAULT, now_s=7)
    assert isinstance(decided, Decided)
    receipt = make_receipt(decided, name=ModelName("m"), fetched_at=1, admitted_at=2)
    assert (subject_of(receipt),) == decided.trialled.estimated.subjects
    again = decided_anew(receipt, DEFAULT, now_s=7)
    assert (again.trust, again.decision) == (decided.trust, decided.decision)
