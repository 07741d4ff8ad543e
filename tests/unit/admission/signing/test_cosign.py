"""cosign's two forms, by keys made here; each forgery with its code."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from corral.admission.signing.cosign import (
    SignedManifest,
    verify_manifest_bundle,
    verify_simple_signing,
)
from corral.admission.signing.dsse import sign_payload
from corral.admission.signing.keys import fingerprint
from corral.admission.signing.making import sign_with_key
from corral.admission.signing.statement import make_statement
from corral.admission.signing.trust_root import SigstoreRoot, TrustedSigner
from corral.core.errors import CorralError
from corral.core.ids import Digest
from tests.support.signatures import NOW, bundle_json, new_key, trusted_key

KEY = new_key()
TRUSTED = trusted_key(KEY)
MANIFEST, OTHER = Digest("a" * 64), Digest("b" * 64)
REPOSITORY = "registry.example:5000/org/model"


def payload(**critical: Any) -> bytes:
    fields = {
        "identity": {"docker-reference": f"{REPOSITORY}:latest"},
        "image": {"docker-manifest-digest": f"sha256:{MANIFEST}"},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": fields | critical, "optional": None}).encode()


def simple(raw: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    return base64.b64encode(key.sign(raw, ec.ECDSA(hashes.SHA256()))).decode()


def statement(**changes: Any) -> bytes:
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": MANIFEST}, "annotations": {}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
    return json.dumps(document | changes).encode()


def bundle(raw: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return bundle_json(raw, sign_payload(raw, key).signatures[0].sig)


def code_of(signed: SignedManifest, *about: Any) -> str:
    refused = signed.refusal(*about)
    return refused.code if refused else ""


@pytest.mark.claim("SIG-07")
def test_simple_signing() -> None:
    signed = verify_simple_signing(payload(), simple(payload()), TRUSTED, NOW)
    assert code_of(signed, MANIFEST, REPOSITORY) == ""
    assert code_of(signed, MANIFEST) == ""
    assert code_of(signed, OTHER) == "signature_mismatch"
    assert code_of(signed, MANIFEST, "registry.example:5000/org/other") == "signature_name"
    assert signed.signer.fingerprint == fingerprint(KEY.public_key())
    with pytest.raises(TypeError):
        SignedManifest(signed.signer, signed.manifest, "", object())


@pytest.mark.claim("SIG-07")
def test_a_bundle() -> None:
    signed = verify_manifest_bundle(bundle(statement()), TRUSTED, NOW)
    assert code_of(signed, MANIFEST, REPOSITORY) == "", "it names no repository"
    assert code_of(signed, OTHER) == "signature_mismatch"
    named = statement(subject=[{"name": REPOSITORY, "digest": {"sha256": MANIFEST}}])
    signed = verify_manifest_bundle(bundle(named), TRUSTED, NOW)
    assert code_of(signed, MANIFEST, REPOSITORY) == ""
    assert code_of(signed, MANIFEST, "evil.example/org/model") == "signature_name"


@pytest.mark.parametrize(
    "reference",
    [
        REPOSITORY,
        f"{REPOSITORY}:v1",
        f"{REPOSITORY}@sha256:{MANIFEST}",
        f"{REPOSITORY}:v1@sha256:0",
    ],
)
def test_tag_and_digest_are_no_part_of_the_repository(reference: str) -> None:
    raw = payload(identity={"docker-reference": reference})
    signed = verify_simple_signing(raw, simple(raw), TRUSTED, NOW)
    assert code_of(signed, MANIFEST, REPOSITORY) == ""


def refusal_of_simple(
    raw: bytes, signature: str | None = None, trusted: TrustedSigner = TRUSTED
) -> str:
    with pytest.raises(CorralError) as caught:
        verify_simple_signing(raw, simple(raw) if signature is None else signature, trusted, NOW)
    return caught.value.code


@pytest.mark.claim("SIG-07")
@pytest.mark.parametrize(
    ("raw", "signature", "code"),
    [
        (payload(), simple(payload(), new_key()), "signature_invalid"),
        (payload(), simple(payload(type="x")), "signature_invalid"),
        (payload(), "", "signature_invalid"),
        (payload(), "?", "signature_malformed"),
        (payload(), "ü", "signature_malformed"),
        (payload(), "A" * 1028, "signature_malformed"),
        (payload(type="atomic container signature"), None, "signature_malformed"),
        (payload(image={"docker-manifest-digest": "sha512:00"}), None, "signature_malformed"),
        (payload(image={}), None, "signature_malformed"),
        (payload(more="critical"), None, "signature_malformed"),
        (payload(identity={"docker-reference": "\x1b[2J"}), None, "signature_malformed"),
        (b"[" * 60_000, None, "signature_malformed"),
        (b" " * 70_000, None, "signature_malformed"),
    ],
    # Signatures differ from run to run; names of tests may not.
    ids=(
        "another key",
        "another type",
        "no signature",
        "no base64",
        "no ascii",
        "too long",
        "no such type",
        "sha512",
        "no image",
        "one more",
        "escape",
        "deep",
        "too large",
    ),
)
def test_simple_signing_that_does_not_count(raw: bytes, signature: str | None, code: str) -> None:
    assert refusal_of_simple(raw, signature) == code


def test_who_may_sign_in_the_old_form() -> None:
    identity = TrustedSigner("ci", SigstoreRoot("a", "b"))
    assert refusal_of_simple(payload(), trusted=identity) == "signer_mismatch"
    late = TrustedSigner("alice", TRUSTED.root, valid_until=NOW - timedelta(days=1))
    assert refusal_of_simple(payload(), trusted=late) == "signer_expired"


@pytest.mark.claim("SIG-07")
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (bundle(statement(), new_key()), "signature_invalid"),
        (
            bundle(statement(predicateType="https://slsa.dev/provenance/v1")),
            "signature_unsupported",
        ),
        (bundle(statement(_type="https://in-toto.io/Statement/v0.1")), "signature_malformed"),
        (bundle(statement(subject=[])), "signature_malformed"),
        (bundle(statement(subject=[{"digest": {"sha1": "0"}}])), "signature_malformed"),
        (bundle(b"{}"), "signature_malformed"),
        (
            bundle(statement(subject=[{"name": "\n", "digest": {"sha256": MANIFEST}}])),
            "signature_malformed",
        ),
        (
            sign_with_key(make_statement("m.gguf", [(".", MANIFEST)]), KEY),
            "signature_unsupported",
        ),
        (b"{}", "signature_malformed"),
    ],
)
def test_bundles_that_do_not_count(raw: bytes, code: str) -> None:
    with pytest.raises(CorralError) as caught:
        verify_manifest_bundle(raw, TRUSTED, NOW)
    assert caught.value.code == code


@given(st.binary(max_size=200), st.text(max_size=100))
def test_any_bytes_are_a_code(raw: bytes, signature: str) -> None:
    assert refusal_of_simple(raw, signature) in {"signature_invalid", "signature_malformed"}
