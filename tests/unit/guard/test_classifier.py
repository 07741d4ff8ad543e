"""A detector reads every token of a text, is the one of its manifest, and passes its own test."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.guard.classifier import Classifier
from corral.guard.detector_job import serve
from corral.guard.detector_wire import QUESTION_BYTES, encode_question
from tests.support.tiny_detector import make_detector, model


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_detector(tmp_path / "tiny")


@pytest.mark.claim("DET-07")
@pytest.mark.parametrize("words", [0, 1, 13, 14, 15, 100, 5000])
def test_every_part_of_a_text_is_looked_at(tiny: Path, words: int) -> None:
    classifier = Classifier(tiny)
    calm = "hello world " * words
    scores = classifier.score([calm, calm + "attack", "attack " + calm, f"{calm}attack {calm}"])
    assert scores[0] < 0.01
    assert min(scores[1:]) > 0.99
    assert classifier.score([]) == []


def test_one_text_does_not_change_the_score_of_another(tiny: Path) -> None:
    classifier = Classifier(tiny)
    texts = ["attack", "hello", "", "hello " * 40, "this is calm", "world " * 15 + "attack"] * 3
    assert classifier.score(texts) == [classifier.score([text])[0] for text in texts]


def test_logits_of_one_label_are_sigmoids(tmp_path: Path) -> None:
    classifier = Classifier(
        make_detector(tmp_path / "s", output='"sigmoid"', heads="[0.0, 1.0]", temperature="2.0")
    )
    (score,) = classifier.score(["attack"])
    assert score == pytest.approx(1 / (1 + 2.718281828 ** (-6 / 2)), abs=1e-6)


def test_heads_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = make_detector(tmp_path / "h", output='"sigmoid"', heads="[1.0, 1.0, 1.0]")
    assert answers(folder) == (1, [{"said": "failed", "code": "detector_invalid"}])


def test_what_is_no_number_is_no_all_clear(tmp_path: Path) -> None:
    classifier = Classifier(make_detector(tmp_path / "n", model_file=model(calm=float("nan"))))
    assert classifier.score(["hello"]) == [1.0]


@pytest.mark.claim("DET-06")
@pytest.mark.parametrize(
    ("file", "data"),
    [("model.onnx", b"other"), ("tokenizer.json", b"{}"), ("detector.toml", b"name = 1"),
     ("model.onnx", None), ("detector.toml", None)],
)  # fmt: skip
def test_other_files_than_those_of_the_manifest_are_refused(
    tiny: Path, file: str, data: bytes | None
) -> None:
    assert Classifier(tiny).checked(), "the control"
    (tiny / file).unlink()
    if data is not None:
        (tiny / file).write_bytes(data)
    with pytest.raises(CorralError) as refused:
        Classifier(tiny)
    assert refused.value.code == "detector_invalid"


def test_files_that_the_libraries_do_not_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorralError) as refused:
        Classifier(make_detector(tmp_path / "x", model_file=b"no model"))
    assert refused.value.code == "detector_invalid"
    assert "no model" not in refused.value.message


def answers(folder: Path, *questions: bytes) -> tuple[int, list[dict[str, object]]]:
    out = io.BytesIO()
    code = serve(folder, io.BytesIO(b"".join(questions)), out)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_job_answers_with_the_worst_view(tiny: Path) -> None:
    hidden = "hello \U000e0061\U000e0074\U000e0074\U000e0061\U000e0063\U000e006b"
    code, said = answers(tiny, encode_question(1, "hello"), encode_question(2, hidden))
    assert code == 0
    assert said[0] == {"said": "ready", "name": "tiny", "flag": 0.5, "block": 0.9}
    assert [(one["id"], one["view"]) for one in said[1:]] == [(1, "raw"), (2, "tags")]
    assert float(str(said[2]["score"])) > 0.9 > float(str(said[1]["score"]))
    assert answers(tiny)[1] == said[:1]
    assert QUESTION_BYTES > 1 << 20


@pytest.mark.claim("DET-06")
@pytest.mark.parametrize("alarms", ['["attack", "hello", "world"]', '["calm", "hello", "world"]'])
def test_a_detector_that_misses_its_own_alarms_does_not_start(tmp_path: Path, alarms: str) -> None:
    folder = make_detector(tmp_path / "blind", alarms=alarms)
    assert answers(folder) == (1, [{"said": "failed", "code": "detector_untrustworthy"}])
    jumpy = make_detector(tmp_path / "jumpy", calm='["hello", "attack", "world"]')
    assert answers(jumpy) == (1, [{"said": "failed", "code": "detector_untrustworthy"}])
    (jumpy / "model.onnx").write_bytes(b"x")
    assert answers(jumpy) == (1, [{"said": "failed", "code": "detector_invalid"}])
