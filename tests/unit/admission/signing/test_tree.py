"""A model on the disk against what was signed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from model_signing import verifying

from corral.admission.signing.statement import RESOURCES, Manifest, make_statement, parse_statement
from corral.admission.signing.tree import check_model, hash_model, model_name
from corral.core.errors import CorralError
from tests.support.signatures import new_key, public_pem, reference_sign


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.gguf").write_bytes(b"GGUF" * 100)
    (folder / "sub" / "empty").touch()
    return folder


def manifest(model: Path) -> Manifest:
    return parse_statement(make_statement(model_name(model), hash_model(model)))


def refusal(model: Path, signed: Manifest, ignored: tuple[str, ...] = ()) -> CorralError:
    with pytest.raises(CorralError) as caught:
        check_model(model, signed, ignored)
    return caught.value


def _flip(model: Path) -> None:
    raw = bytearray((model / "weights.gguf").read_bytes())
    raw[-1] ^= 1
    (model / "weights.gguf").write_bytes(raw)


def _append(model: Path) -> None:
    (model / "weights.gguf").write_bytes(b"GGUF" * 100 + b"\0")


def _link(model: Path) -> None:
    (model / "weights.gguf").rename(model.parent / "elsewhere")
    (model / "weights.gguf").symlink_to(model.parent / "elsewhere")


def _folder_link(model: Path) -> None:
    (model / "sub").rename(model.parent / "elsewhere")
    (model / "sub").symlink_to(model.parent / "elsewhere")


def _git_hook(model: Path) -> None:
    (model / ".git" / "hooks").mkdir(parents=True)
    (model / ".git" / "hooks" / "post-checkout").write_text("#!/bin/sh\n")


TAMPERS: list[Callable[[Path], object]] = [
    _flip,
    _append,
    _link,
    _folder_link,
    _git_hook,
    lambda model: (model / "extra").touch(),
    lambda model: (model / ".gitattributes").touch(),
    lambda model: (model / "sub" / "empty").unlink(),
    lambda model: (model / "sub" / "empty").write_text("x"),
    lambda model: (model / "weights.gguf").rename(model / "renamed.gguf"),
    lambda model: os.mkfifo(model / "pipe"),
    lambda model: (model / "new\nline").touch(),
]


@pytest.mark.claim("SIG-04")
@pytest.mark.parametrize("tamper", TAMPERS)
def test_a_changed_folder_is_refused(model: Path, tamper: Callable[[Path], object]) -> None:
    signed = manifest(model)
    assert check_model(model, signed) == 2
    tamper(model)
    error = refusal(model, signed)
    assert error.code == "signature_mismatch"
    assert error.message.isprintable()


@pytest.mark.claim("SIG-04")
def test_the_reference_lets_a_git_hook_in(model: Path, tmp_path: Path) -> None:
    """The control: the hook is added to a folder whose signature the reference still confirms."""
    key = new_key()
    reference_sign(model, key, tmp_path / "m.sig")
    signed = manifest(model)
    _git_hook(model)
    (tmp_path / "k.pub").write_bytes(public_pem(key))
    verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "k.pub").verify(
        model, tmp_path / "m.sig"
    )
    assert refusal(model, signed).code == "signature_mismatch"


def test_what_is_ignored_is_neither_signed_nor_checked(model: Path) -> None:
    _git_hook(model)
    signed = parse_statement(make_statement("model", hash_model(model, {".git"})))
    assert set(signed.files) == {"weights.gguf", "sub/empty"}
    assert refusal(model, signed).code == "signature_mismatch"
    assert check_model(model, signed, (".git",)) == 2
    (model / "weights.gguf").unlink()
    assert check_model(model, signed, (".git", "weights.gguf")) == 1
    (model / "sub" / "empty").unlink()
    assert refusal(model, signed, (".git", "weights.gguf")).code == "signature_mismatch"
    assert check_model(model, signed, (".git", "weights.gguf", "sub")) == 0


def test_a_single_file(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"x" * (3 << 20))
    signed = manifest(file)
    assert (signed.name, check_model(file, signed)) == ("tiny.gguf", 1)
    file.write_bytes(b"x" * ((3 << 20) - 1) + b"y")
    assert refusal(file, signed).code == "signature_mismatch"
    (tmp_path / "link").symlink_to(file)
    assert refusal(tmp_path / "link", signed).code == "source_symlink"
    assert refusal(tmp_path / "none", signed).code == "source_missing"


def test_a_link_to_a_folder_is_not_followed(model: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(model)
    assert refusal(tmp_path / "link", manifest(model)).code == "source_symlink"


def test_too_deep_is_a_code(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    with pytest.raises(CorralError) as caught:
        hash_model(tmp_path)
    assert caught.value.code == "too_many_files"


def test_too_many_is_a_code(tmp_path: Path) -> None:
    for number in range(RESOURCES + 1):
        (tmp_path / str(number)).touch()
    with pytest.raises(CorralError) as caught:
        hash_model(tmp_path)
    assert caught.value.code == "too_many_files"


def test_no_descriptor_is_left_open(model: Path) -> None:
    signed = manifest(model)
    before = len(os.listdir("/proc/self/fd"))
    (model / "extra").touch()
    refusal(model, signed)
    hash_model(model)
    assert len(os.listdir("/proc/self/fd")) == before
