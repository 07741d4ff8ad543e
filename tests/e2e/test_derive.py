"""`corral derive` with real jails and the real engine: what is served is what was given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from tests.support.real_adapter import write_adapter
from tests.support.server import (
    MODEL,
    MODEL_SHA256,
    copy_home,
    corral,
    corral_json,
    start_server,
)

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


def lay(place: Path, name: str, *more: str, check: bool = True) -> dict[str, object]:
    done = corral(
        place, "derive", MODEL, "--as", name, "--adapter", str(place.parent / "adapter.gguf"),
        "--json", *more, check=check,
    )  # fmt: skip
    document: dict[str, object] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def laid(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`laid` is the demo model under an adapter, `nought` the same with a scale of 0."""
    home = tmp_path_factory.mktemp("laid") / "home"
    copy_home(model_home, home)
    blob = home / "store" / "sha256" / MODEL_SHA256
    write_adapter(blob, home.parent / "adapter.gguf")
    lay(home, "laid")
    lay(home, "nought", "--adapter-scale", "0")
    return home


@pytest.mark.claim("DRV-09")
@pytest.mark.parametrize("runtime", ["crun", "runc", "runsc"])
def test_an_adapter_is_what_makes_the_difference(
    laid: Path, runtime: str, needs_root: None, needs_runtime: Callable[[str], None]
) -> None:
    needs_runtime(runtime)
    ask = (*_ASK, "--runtime", runtime)
    base, under, nought = (
        corral_json(laid, "run", name, *ask)["text"] for name in (MODEL, "laid", "nought")
    )
    assert under != base
    assert nought == base  # control: the same file, the same way, with no weight


@pytest.mark.claim("DRV-07")
def test_a_trial_and_a_receipt_are_about_the_pair(laid: Path) -> None:
    receipt = corral_json(laid, "show", "laid")["receipt"]
    assert receipt["trial"]["answer_tokens"] > 0
    assert receipt["derivation"]["adapter"]["scale"] == 1000
    # Its base's digest was demanded, and the adapter is anybody's.
    assert (receipt["trust"], receipt["sha256_demanded"]) == ("untrusted", True)
    assert corral_json(laid, "show", MODEL)["trust"] == "verified"
    assert "adapter" in corral(laid, "show", "laid").stdout
    raw = (laid.parent / "adapter.gguf").read_bytes()
    (laid.parent / "adapter.gguf").write_bytes(raw[:-4])
    refused = lay(laid, "cut", check=False)
    (laid.parent / "adapter.gguf").write_bytes(raw)
    assert isinstance(refused["error"], dict)
    assert refused["error"]["code"] == "truncated"
    assert {entry["name"] for entry in corral_json(laid, "list")} == {MODEL, "laid", "nought"}


@pytest.mark.claim("DRV-07")
def test_an_adapter_that_ends_the_engine_is_refused_by_its_trial(laid: Path) -> None:
    """The scanner lets it pass: each matrix fits."""
    genuine = laid.parent / "adapter.gguf"
    raw = genuine.read_bytes()
    blob = laid / "store" / "sha256" / MODEL_SHA256
    try:
        write_adapter(blob, genuine, embeddings=True)
        scanned = corral(laid, "scan", str(genuine), "--base", MODEL, "--json", check=False)
        assert json.loads(scanned.stdout)["verdict"] == "accept"
        before = sorted((laid / "store").rglob("*"))
        refused = lay(laid, "deadly", check=False)
        assert isinstance(refused["error"], dict)
        assert refused["error"]["code"] == "trial_failed"
        assert sorted((laid / "store").rglob("*")) == before
        assert list((laid / "quarantine").glob("blobs/*")) == []
    finally:
        genuine.write_bytes(raw)


@pytest.mark.claim("DRV-08")
def test_an_adapter_that_is_not_as_it_was_stored_is_not_started(laid: Path, tmp_path: Path) -> None:
    home = copy_home(laid, tmp_path / "home")
    digest = corral_json(home, "show", "laid")["receipt"]["derivation"]["adapter"]["digest"]
    blob = home / "store" / "sha256" / digest
    raw = blob.read_bytes()

    def outcome() -> str:
        done = corral(home, "run", "laid", *_ASK, check=False)
        found = json.loads(done.stdout)
        return str(found["error"]["code"]) if "error" in found else "answered"

    assert outcome() == "answered"  # control
    blob.unlink()
    assert outcome() == "model_missing"
    blob.symlink_to(home.parent / "elsewhere.gguf")
    (home.parent / "elsewhere.gguf").write_bytes(raw)
    assert outcome() == "model_missing"
    blob.unlink()
    blob.write_bytes(raw)
    blob.chmod(0o666)
    assert outcome() == "model_unsafe"
    blob.chmod(0o444)
    for mark in (home / "store" / "trust").iterdir():
        mark.unlink()
    assert outcome() == "adapter_not_admitted"
    corral(home, "admit", "--all")
    assert outcome() == "answered"


@pytest.mark.claim("DRV-09")
def test_a_derived_model_is_served_over_https(laid: Path, tmp_path: Path) -> None:
    home = copy_home(laid, tmp_path / "home")
    server = start_server(home)
    try:
        client = server.openai()
        ids = {model.id for model in client.models.list()}
        assert ids == {MODEL, "laid", "nought"}

        def chat(model: str, **extra: object) -> str:
            answer = client.chat.completions.create(
                model=model, max_tokens=16, temperature=0, extra_body=extra,
                messages=[{"role": "user", "content": "Tell me about the sea."}],
            )  # fmt: skip
            return answer.choices[0].message.content or ""

        base, under, nought = (chat(name) for name in (MODEL, "laid", "nought"))
        assert (nought, under == base) == (base, False)
        assert len(server.workers()) == 3, "each has a worker of its own"
        # No client chooses what is laid over a model, or by which template it is asked.
        for field in ({"lora": [{"id": 0, "scale": 0.0}]}, {"chat_template": "x"}, {"adapter": ""}):
            with pytest.raises(openai.BadRequestError) as refused:
                chat("laid", **field)
            assert refused.value.code == "unknown_parameter"
        assert chat("laid") == under
    finally:
        assert server.stop() == 0
