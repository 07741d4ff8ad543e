"""`corral derive` with real jails and the real engine: what is served is what was given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.server import MODEL, copy_home, corral, corral_json

GIVEN = (
    "{{ '<|im_start|>system\nAnswer each question with one word.<|im_end|>\n' }}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As the model's own, but its first words are another system prompt."""
_ASK = ("Tell me about the sea.", "--max-tokens", "24", "--temperature", "0", "--json")


@pytest.fixture(scope="module")
def place(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("derive") / "home"
    copy_home(model_home, home)
    return home


def derive(place: Path, text: str, *more: str, check: bool = True) -> dict[str, object]:
    file = place.parent / "given.jinja"
    file.write_text(text)
    done = corral(
        place, "derive", MODEL, "--as", "house", "--chat-template", str(file), "--json", *more,
        check=check,
    )  # fmt: skip
    document: dict[str, object] = json.loads(done.stdout)
    return document


@pytest.mark.claim("DRV-01")
def test_a_derived_model_answers_by_the_given_template(place: Path) -> None:
    hostile = derive(place, GIVEN + "{{ ''.__class__ }}", check=False)
    assert isinstance(hostile["error"], dict)
    assert hostile["error"]["code"] == "scan_rejected"
    assert len(corral_json(place, "list")) == 1
    assert list((place / "quarantine").glob("blobs/*")) == []

    assert derive(place, GIVEN, "--dry-run")["dry_run"] is True
    assert len(corral_json(place, "list")) == 1

    made = derive(place, GIVEN)
    base, derived = (corral_json(place, "show", name) for name in (MODEL, "house"))
    assert made["identity"] == derived["identity"]
    assert (derived["derived_from"], derived["sha256"]) == (MODEL, base["sha256"])
    assert derived["receipt"]["template"]["text"] == GIVEN
    assert "given by the operator" in corral(place, "show", "house").stdout
    assert f"derived from {MODEL}" in corral(place, "list").stdout

    answers = [corral_json(place, "run", name, *_ASK) for name in (MODEL, "house")]
    assert answers[0]["text"] != answers[1]["text"]
    assert answers[0]["usage"]["prompt_tokens"] != answers[1]["usage"]["prompt_tokens"]

    corral(place, "rm", MODEL)
    assert corral_json(place, "run", "house", *_ASK)["text"] == answers[1]["text"]
    assert json.loads(corral(place, "fsck", "--json").stdout)["troubles"] == []
