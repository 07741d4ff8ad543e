"""What a policy will say of a model whose file is not there yet."""

from corral.admission.policy.forecast import Forecast, foresee
from corral.admission.policy.subject import evidence_of
from tests.support.policies import ANYTHING, DEFAULT, policy

PINNED = evidence_of(sha256=True, wheel_sha256=False, manifest_sha256=False, signature=False)


def forecast(rules: str, **changes: object) -> Forecast:
    facts: dict[str, object] = {
        "source": "hf://o/r/m.gguf@main", "digest": None, "size_bytes": None,
        "evidence": frozenset(), "signers": (),
    }  # fmt: skip
    return foresee(policy(rules) if rules else DEFAULT, **facts | changes)  # type: ignore[arg-type]


def test_the_shipped_policy_is_decided_by_what_is_demanded() -> None:
    assert forecast("").trust == "untrusted"
    assert forecast("", evidence=PINNED).trust == "verified"


def test_what_only_the_file_tells_is_waited_for() -> None:
    small = ANYTHING + "size_bytes_max = 10\n"
    assert forecast(small).waits_for == ("size_bytes_max",)
    assert forecast(small, size_bytes=10).trust == "untrusted"
    assert (forecast(small, size_bytes=11).trust, forecast(small).trust) == (None, None)
    named = ANYTHING + f'digests = ["{"a" * 64}"]\n'
    assert forecast(named).waits_for == ("digests",)
    assert forecast(named, digest="a" * 64).trust == "untrusted"
    assert forecast(named, digest="b" * 64).decision.outcome == "hold"
    assert forecast(ANYTHING + 'architectures = ["llama"]\n').waits_for == ("architectures",)
