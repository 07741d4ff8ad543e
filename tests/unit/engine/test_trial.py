"""The trial load against workers that break what it looks for."""

import pytest

from corral.admission.report import TemplateReport
from corral.admission.trial import TrialResult
from corral.control.client import LauncherClient
from corral.core.config import Config, Engine
from corral.core.ids import Digest
from corral.engine.trial import EngineTrial
from tests.support.estimated import estimated
from tests.support.fake_launcher import FakeLauncher
from tests.support.served_template import PASSED

DIGEST = Digest("a" * 64)
CONTROL = ("<|im_start|>", "<|im_end|>")


def tried(
    mode: str,
    control: tuple[str, ...] = CONTROL,
    *,
    words: tuple[str, ...] = (),
    load_s: int = 60,
    silence_s: float = 60,
    eyes: bool = False,
    template: TemplateReport = PASSED,
) -> TrialResult:
    config = Config(engine=Engine(load_timeout_s=load_s))
    with FakeLauncher({"trial": mode}) as launcher:
        trial = EngineTrial(LauncherClient(launcher.client), config, silence_s=silence_s)
        result = trial.load(
            estimated(DIGEST, control, word_markers=words, eyes=eyes, template=template)
        )
        assert launcher.started[0].quarantined
        assert not launcher.live
    return result


def test_a_sound_model_passes_with_what_was_seen() -> None:
    result = tried("sound")
    assert (result.ok, result.code, result.engine) == (True, "", "fake 1")
    record = result.record
    assert record is not None
    assert (record.context_tokens, record.control_tokens, record.answer_tokens) == (512, 2, 1)
    assert record.prompt_tokens_per_s > 0
    assert 0 < record.private_bytes < record.peak_bytes
    assert record.estimated_bytes > 0


@pytest.mark.claim("TRI-01")
@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("fatal", "model_load_failed"),
        ("die", "worker_failed"),
        ("die_midway", "worker_failed"),
        ("garbage", "worker_failed"),
        ("no_number", "worker_failed"),
        ("engine_error", "trial_no_answer"),
        ("nothing", "trial_no_answer"),
        ("fickle", "trial_not_deterministic"),
        ("letters", "trial_control_token"),
        ("forging", "trial_plain_text"),
        ("fat", "trial_over_estimate"),
    ],
)
def test_a_model_that_breaks_a_rule_is_refused_by_its_own_code(mode: str, code: str) -> None:
    result = tried(mode)
    assert (result.ok, result.code, result.record) == (False, code, None)
    assert tried("sound").ok  # control


@pytest.mark.claim("TRI-01")
def test_a_model_that_hangs_is_refused() -> None:
    assert tried("never_ready", load_s=1).code == "model_load_timeout"
    assert tried("silent", silence_s=0.5).code == "worker_timeout"


@pytest.mark.claim("VISION-01")
def test_a_model_with_a_projector_must_read_an_image_and_parse_no_text_of_a_tenant() -> None:
    found = tried("seeing", eyes=True)
    assert found.record is not None
    assert found.record.control_tokens == 2
    assert tried("seeing", (), eyes=True).ok
    assert tried("blind", eyes=True).code == "trial_no_image"
    assert tried("reading", eyes=True).code == "trial_plain_text"
    absent = TemplateReport("absent")
    assert tried("seeing", eyes=True, template=absent).code == "trial_no_image"
    assert tried("sound", template=absent).ok  # control
    assert tried("seeing").code == "trial_plain_text", "and the base refuses nothing"


def test_without_control_tokens_none_are_looked_at() -> None:
    for mode in ("letters", "chatty"):
        result = tried(mode, ())
        assert result.record is not None
        assert result.record.control_tokens == 0


def test_a_marker_that_is_a_word_may_be_spelt_in_pieces() -> None:
    """Every Qwen 2.5 was refused: `<s>` is one of its words, and no control token."""
    result = tried("letters", ("<unk>", "<s>"), words=("<unk>", "<s>"))
    assert result.record is not None
    assert result.record.control_tokens == 0
    assert tried("letters", ("<unk>", "<s>")).code == "trial_control_token"


@pytest.mark.claim("TRI-01")
def test_a_marker_of_the_template_may_not() -> None:
    used = ("message", "content")  # the template has both
    assert tried("letters", used, words=used).code == "trial_control_token"
