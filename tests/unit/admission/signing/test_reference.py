"""What corral signs, OpenSSF's own library verifies, and the other way round."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import verifying

from corral.admission.signing.certificate import Demand
from corral.admission.signing.keys import fingerprint
from corral.admission.signing.making import load_chain, sign_with_key
from corral.admission.signing.statement import make_statement
from corral.admission.signing.tree import check_model, hash_model
from corral.admission.signing.trust_root import CertificateRoot, TrustedSigner
from corral.admission.signing.verification import verify_signature
from tests.support.signatures import (
    NOW,
    Issued,
    issue,
    new_key,
    public_pem,
    reference_sign,
    trusted_key,
)

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.gguf").write_bytes(b"GGUF" * 100)
    (folder / "sub" / "card.md").write_text("hello")
    return folder


@pytest.fixture
def chain() -> tuple[Issued, Issued, Issued]:
    """Leaf, intermediate, root."""
    root = issue("root", ca=True)
    middle = issue("middle", root, ca=True)
    return issue("signer", middle, san="signer@example.org"), middle, root


@pytest.mark.parametrize("curve", CURVES, ids=[c.name for c in CURVES])
@pytest.mark.parametrize("what", [".", "weights.gguf"], ids=["folder", "file"])
def test_a_signature_of_the_reference_is_verified(
    model: Path, tmp_path: Path, curve: ec.EllipticCurve, what: str
) -> None:
    key, target = new_key(curve), model / what
    raw = reference_sign(target, key, tmp_path / "m.sig")
    signed = verify_signature(raw, trusted_key(key), NOW)
    assert check_model(target, signed.manifest) == (2 if what == "." else 1)
    assert signed.signer.signed_name == ("model" if what == "." else what)
    assert signed.signer.kind == "key"
    assert signed.signer.fingerprint == fingerprint(key.public_key())
    assert signed.signer.bundle_sha256 == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("shard_bytes", [1, 7, 400, 1000])
def test_shards_of_the_reference_are_verified(
    model: Path, tmp_path: Path, shard_bytes: int
) -> None:
    key = new_key()
    raw = reference_sign(model, key, tmp_path / "m.sig", shard_bytes=shard_bytes)
    assert check_model(model, verify_signature(raw, trusted_key(key), NOW).manifest) == 2


def test_a_certified_signature_of_the_reference_is_verified(
    model: Path, tmp_path: Path, chain: tuple[Issued, Issued, Issued]
) -> None:
    leaf, middle, root = chain
    raw = reference_sign(model, leaf.key, tmp_path / "m.sig", (leaf, middle))
    trusted = TrustedSigner(
        "lab", CertificateRoot((root.certificate,), Demand("signer", "signer@example.org"))
    )
    signed = verify_signature(raw, trusted, NOW)
    assert (signed.signer.kind, signed.signer.identity) == ("certificate", "signer@example.org")
    assert check_model(model, signed.manifest) == 2


@pytest.mark.parametrize("curve", CURVES, ids=[c.name for c in CURVES])
@pytest.mark.parametrize("what", [".", "weights.gguf"], ids=["folder", "file"])
def test_the_reference_verifies_our_signature(
    model: Path, tmp_path: Path, curve: ec.EllipticCurve, what: str
) -> None:
    key, target, out = new_key(curve), model / what, tmp_path / "m.sig"
    out.write_bytes(sign_with_key(make_statement(target.name, hash_model(target)), key))
    (tmp_path / "k.pub").write_bytes(public_pem(key))
    config = verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "k.pub")
    config.verify(target, out)
    (model / "weights.gguf").write_bytes(b"GGUX" * 100)
    with pytest.raises(ValueError, match="mismatch"):
        config.verify(target, out)


def test_the_reference_verifies_our_certified_signature(
    model: Path, tmp_path: Path, chain: tuple[Issued, Issued, Issued]
) -> None:
    leaf, middle, root = chain
    (tmp_path / "chain.pem").write_bytes(leaf.pem + middle.pem)
    (tmp_path / "root.pem").write_bytes(root.pem)
    certificates = load_chain(tmp_path / "chain.pem", leaf.key)
    payload = make_statement("model", hash_model(model))
    (tmp_path / "m.sig").write_bytes(sign_with_key(payload, leaf.key, certificates))
    verifying.Config().use_certificate_verifier(certificate_chain=[tmp_path / "root.pem"]).verify(
        model, tmp_path / "m.sig"
    )
