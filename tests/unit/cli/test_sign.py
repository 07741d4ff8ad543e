"""`corral sign` and `corral verify` as a person uses them."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest
import typer

from tests.support.command_line import Corral
from tests.support.signatures import issue, new_key, private_pem, public_pem, reference_sign

KEY = new_key()


@pytest.fixture
def corral(corral: Corral) -> Corral:
    """The command line, which takes paths too."""
    return lambda *arguments: corral(*map(str, arguments))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "k.pem").write_bytes(private_pem(KEY))
    (tmp_path / "k.pub").write_bytes(public_pem(KEY))
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    return tmp_path / "tiny.gguf"


def test_sign_and_verify_a_file(corral: Corral, model: Path) -> None:
    signed = corral("sign", model, "--key", model.with_name("k.pem"), "--json")
    assert signed.document == {
        "signature": f"{model}.sig", "name": "tiny.gguf", "files": 1,
    }  # fmt: skip
    assert os.stat(f"{model}.sig").st_mode & 0o777 == 0o644
    verified = corral("verify", model, "--public-key", model.with_name("k.pub"), "--json")
    assert (verified.code, verified.document["verified"]) == (0, True)
    assert verified.document["signer"]["kind"] == "key"
    model.write_bytes(b"GGUX")
    verified = corral("verify", model, "--public-key", model.with_name("k.pub"), "--json")
    assert (verified.code, verified.error_code) == (1, "signature_mismatch")


def test_sign_and_verify_a_folder_with_its_signature_in_it(corral: Corral, tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_bytes(private_pem(KEY))
    (tmp_path / "k.pub").write_bytes(public_pem(KEY))
    folder = tmp_path / "model"
    (folder / ".git").mkdir(parents=True)
    (folder / "w.gguf").write_bytes(b"GGUF")
    sig = folder / "model.sig"
    assert corral("sign", folder, "--key", tmp_path / "k.pem", "--out", sig).code == 0
    assert corral("sign", folder, "--key", tmp_path / "k.pem", "--out", sig).code == 0
    shown = corral("verify", folder, "--public-key", tmp_path / "k.pub")
    assert (shown.code, "files     1" in shown.out) == (0, True)
    (folder / ".git" / "config").write_text("[core]")
    verify = ("verify", folder, "--public-key", tmp_path / "k.pub", "--json")
    assert corral(*verify).error_code == "signature_mismatch"
    assert corral(*verify, "--ignore", ".git/").code == 0
    (folder / "other.sig").write_bytes(sig.read_bytes())
    assert corral(*verify, "--ignore", ".git").error_code == "signature_mismatch"


def test_a_renamed_model(corral: Corral, model: Path) -> None:
    corral("sign", model, "--key", model.with_name("k.pem"))
    renamed = model.rename(model.with_name("better.gguf"))
    verify = (
        "verify", renamed, "--signature", f"{model}.sig", "--public-key",
        model.with_name("k.pub"), "--json",
    )  # fmt: skip
    assert corral(*verify).error_code == "signature_name"
    assert corral(*verify, "--signed-name", "tiny.gguf").code == 0


def test_certificates(corral: Corral, model: Path, tmp_path: Path) -> None:
    # The command line knows no other time than now, so these are valid long enough.
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    valid = (now - timedelta(days=1), now + timedelta(days=1))
    root = issue("root", ca=True, valid=valid)
    leaf = issue("signer", root, san="a@example.org", valid=valid)
    (tmp_path / "leaf.key").write_bytes(private_pem(leaf.key))
    (tmp_path / "leaf.pem").write_bytes(leaf.pem)
    (tmp_path / "root.pem").write_bytes(root.pem)
    sign = ("sign", model, "--cert", tmp_path / "leaf.pem", "--json")
    assert corral(*sign, "--key", tmp_path / "leaf.key").code == 0
    assert corral(*sign, "--key", model.with_name("k.pem")).error_code == "signing_key_unusable"
    verify = ("verify", model, "--cert-root", tmp_path / "root.pem", "--json", "--identity")
    assert corral(*verify, "a@example.org").document["signer"]["identity"] == "a@example.org"
    assert corral(*verify, "b@example.org").error_code == "signer_mismatch"


def test_an_encrypted_key(corral: Corral, model: Path, tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_bytes(private_pem(KEY, b"open sesame"))
    (tmp_path / "right").write_text("open sesame\n")
    (tmp_path / "wrong").write_text("open barley\n")
    sign = ("sign", model, "--key", tmp_path / "k.pem", "--json", "--passphrase-file")
    assert corral(*sign, tmp_path / "wrong").error_code == "passphrase_wrong"
    assert not Path(f"{model}.sig").exists()
    assert corral(*sign, tmp_path / "right").code == 0


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n", b"x" * 70_000])
def test_a_key_that_is_none(corral: Corral, model: Path, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_bytes(content)
    sign = corral("sign", model, "--key", tmp_path / "k.pem", "--json")
    assert sign.error_code == "signing_key_unusable"


def test_the_names_of_the_configuration(corral: Corral, model: Path, tmp_path: Path) -> None:
    corral("sign", model, "--key", model.with_name("k.pem"))
    verify = ("verify", model, "--home", tmp_path, "--json", "--signed-by")
    assert corral(*verify, "alice").error_code == "unknown_signer"
    config = '[trust.signers.alice]\nkind = "key"\npublic_key = "k.pub"\n'
    (tmp_path / "corral.toml").write_text(config)
    assert corral(*verify, "alice").document["signer"]["name"] == "alice"
    (tmp_path / "corral.toml").write_text(config + 'valid_until = "2020-01-01"\n')
    assert corral(*verify, "alice").error_code == "signer_expired"
    shown = corral("config", "show", "--home", tmp_path).out
    assert '[trust.signers."alice"]' in shown
    for wrong in (
        'kind = "key"\n',
        'kind = "key"\npublic_key = "k.pub"\nsan = "a"\n',
        'kind = "certificate"\ncertificates = "k.pub"\n',
        'kind = "certificate"\ncertificates = "k.pub"\nsan = "a"\ncertificate_time = "never"\n',
        'kind = "sigstore"\nidentity = "a"\nissuer = "b"\n',
        'kind = "pgp"\n',
        'kind = "key"\npublic_key = "k.pub"\nvalid_from = "yesterday"\n',
    ):
        (tmp_path / "corral.toml").write_text(f"[trust.signers.alice]\n{wrong}")
        assert corral(*verify, "alice").error_code == "config_value"
    for wrong, code in (("pubkey = 'k'", "config_unknown_key"), ("kind = 1", "config_type")):
        (tmp_path / "corral.toml").write_text(f"[trust.signers.alice]\n{wrong}")
        assert corral(*verify, "alice").error_code == code
    for unusable in (
        'kind = "key"\npublic_key = "tiny.gguf"\n',
        'kind = "certificate"\ncertificates = "k.pub"\nsan = "a"\n',
        'kind = "key"\npublic_key = "none"\n',
    ):
        (tmp_path / "corral.toml").write_text(f"[trust.signers.alice]\n{unusable}")
        assert corral(*verify, "alice").error_code == "signing_key_unusable"


def test_no_signature_beside_the_model(corral: Corral, model: Path, tmp_path: Path) -> None:
    verify = ("verify", model, "--public-key", tmp_path / "k.pub", "--json")
    assert corral(*verify).error_code == "signature_missing"
    Path(f"{model}.sig").symlink_to(tmp_path / "k.pub")
    assert corral(*verify).error_code == "signature_missing"
    Path(f"{model}.sig").unlink()
    reference_sign(model, KEY, tmp_path / "model.sig")
    assert corral(*verify).code == 0
    (tmp_path / "model.sig").write_bytes(b" " * (5 << 20))
    assert corral(*verify).error_code == "signature_malformed"


@pytest.mark.parametrize(
    "arguments",
    [
        ("sign", "PATH"),
        ("sign", "PATH", "--sigstore", "--key", "k.pem"),
        ("sign", "PATH", "--cert", "c.pem"),
        ("verify", "PATH"),
        ("verify", "PATH", "--public-key", "k.pub", "--signed-by", "a"),
        ("verify", "PATH", "--cert-root", "c.pem"),
        ("verify", "PATH", "--identity", "a"),
        ("verify", "PATH", "--trusted-root", "r.json"),
    ],
)
def test_wrong_usage(corral: Corral, model: Path, arguments: tuple[str, ...]) -> None:
    assert corral(*(str(model) if a == "PATH" else a for a in arguments)).code == 2


def test_the_passphrase_is_asked_for(
    corral: Corral, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = inspect.getmodule(typer.prompt)
    monkeypatch.setattr(module, "hidden_prompt_func", lambda _prompt: "open sesame")
    (tmp_path / "k.pem").write_bytes(private_pem(KEY, b"open sesame"))
    asked = corral("sign", model, "--key", tmp_path / "k.pem")
    assert asked.code == 0
    assert "open sesame" not in asked.out + asked.err
