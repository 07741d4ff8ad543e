"""Signatures that do not count, each with the code that says why."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from model_signing import verifying

from corral.admission.signing.bundle import BUNDLE_BYTES, parse_bundle
from corral.admission.signing.certificate import Demand
from corral.admission.signing.dsse import pae
from corral.admission.signing.making import load_chain, sign_with_key
from corral.admission.signing.statement import make_statement, parse_statement
from corral.admission.signing.trust_root import CertificateRoot, TrustedSigner
from corral.admission.signing.verification import SignedModel, verify_signature
from corral.core.errors import CorralError
from corral.core.ids import Digest
from tests.support.signatures import (
    DAY,
    NOW,
    Issued,
    bundle_json,
    issue,
    new_key,
    payload_of,
    public_pem,
    resigned,
    trusted_key,
)

KEY = new_key()
TRUSTED = trusted_key(KEY)
SHA = Digest(hashlib.sha256(b"model").hexdigest())
GOOD = sign_with_key(make_statement("tiny.gguf", [(".", SHA)]), KEY)
FOLDER = sign_with_key(
    make_statement("org", [("sub/tiny.gguf", SHA), ("card.md", Digest("0" * 64))]), KEY
)


def refusal(raw: bytes, trusted: TrustedSigner = TRUSTED) -> str:
    with pytest.raises(CorralError) as caught:
        verify_signature(raw, trusted, NOW)
    assert caught.value.remedy
    return caught.value.code


def changed(raw: bytes, *path: str | int, to: object) -> bytes:
    document = json.loads(raw)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return json.dumps(document).encode()


def test_a_good_one_is_a_proof() -> None:
    signed = verify_signature(GOOD, TRUSTED, NOW)
    assert signed.refusal(SHA, "tiny.gguf") is None
    assert signed.refusal(SHA, "") is None
    with pytest.raises(TypeError):
        SignedModel(signed.signer, signed.manifest, object())


@pytest.mark.claim("SIG-02")
@pytest.mark.parametrize("raw", [GOOD, FOLDER], ids=["file", "folder"])
def test_other_bytes_and_other_names_are_not_covered(raw: bytes) -> None:
    signed = verify_signature(raw, TRUSTED, NOW)
    assert signed.refusal(SHA, "tiny.gguf") is None
    for digest, name, code in (
        (Digest(hashlib.sha256(b"modem").hexdigest()), "tiny.gguf", "signature_mismatch"),
        (SHA, "better.gguf", "signature_name"),
    ):
        refused = signed.refusal(digest, name)
        assert refused is not None
        assert refused.code == code


def test_shards_do_not_cover_a_file_of_which_only_the_whole_digest_is_known() -> None:
    raw = resigned(GOOD, KEY, _as_shard)
    signed = verify_signature(raw, TRUSTED, NOW)
    refused = signed.refusal(SHA, "tiny.gguf")
    assert refused is not None
    assert refused.code == "signature_mismatch"


def _as_shard(statement: Any) -> None:
    statement["predicate"]["serialization"] |= {"method": "shards", "shard_size": 5.0}
    statement["predicate"]["resources"][0] |= {"algorithm": "sha256-sharded-5", "name": ".:0:5"}


@pytest.mark.claim("SIG-01")
def test_another_key(tmp_path: Path) -> None:
    assert refusal(GOOD, trusted_key(new_key())) == "signature_invalid"
    assert refusal(GOOD, trusted_key(new_key(ec.SECP384R1()))) == "signature_invalid"


@given(at=st.integers(0, len(GOOD) - 1), to=st.integers(0, 255))
def test_any_changed_byte_is_refused_or_changes_nothing(at: int, to: int) -> None:
    raw = GOOD[:at] + bytes([to]) + GOOD[at + 1 :]
    try:
        signed = verify_signature(raw, TRUSTED, NOW)
    except CorralError as error:
        assert error.code in {"signature_malformed", "signature_invalid", "signature_unsupported"}
    else:
        assert signed.manifest == verify_signature(GOOD, TRUSTED, NOW).manifest


@given(st.binary(max_size=200))
def test_any_bytes_give_a_code(raw: bytes) -> None:
    assert refusal(raw) == "signature_malformed"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "signature_malformed"),
        (b"[" * 100_000, "signature_malformed"),
        (b" " * (BUNDLE_BYTES + 1), "signature_malformed"),
        (changed(GOOD, "mediaType", to="application/x"), "signature_unsupported"),
        (changed(GOOD, "extra", to=1), "signature_malformed"),
        (changed(GOOD, "dsseEnvelope", "signatures", to=[]), "signature_malformed"),
        (
            changed(
                GOOD, "dsseEnvelope", "signatures",
                to=json.loads(GOOD)["dsseEnvelope"]["signatures"] * 2,
            ),
            "signature_malformed",
        ),
        (changed(GOOD, "dsseEnvelope", "payload", to="?"), "signature_malformed"),
        (changed(GOOD, "dsseEnvelope", "payloadType", to="text/plain"), "signature_unsupported"),
        (changed(GOOD, "verificationMaterial", "publicKey", to=None), "signature_malformed"),
        (
            changed(GOOD, "verificationMaterial", "certificate", to={"rawBytes": "AAAA"}),
            "signature_malformed",
        ),
        (
            changed(GOOD, "verificationMaterial", to={"certificate": {"rawBytes": "AAAA"}}),
            "signer_mismatch",
        ),
    ],
)  # fmt: skip
def test_bundles_that_are_none(raw: bytes, code: str) -> None:
    assert refusal(raw) == code


def test_a_wrong_payload_type_that_was_really_signed_is_refused() -> None:
    payload = base64.b64decode(json.loads(GOOD)["dsseEnvelope"]["payload"])
    signature = KEY.sign(pae("text/plain", payload), ec.ECDSA(hashes.SHA256()))
    raw = changed(bundle_json(payload, signature), "dsseEnvelope", "payloadType", to="text/plain")
    assert refusal(raw) == "signature_unsupported"


def test_the_faulty_encoding_of_before_1_0_is_refused() -> None:
    payload = base64.b64decode(json.loads(GOOD)["dsseEnvelope"]["payload"])
    kind = "application/vnd.in-toto+json"
    faulty = f"DSSEV1 {len(kind)} {kind} {len(payload)} {payload!r}".encode()
    raw = bundle_json(payload, KEY.sign(faulty, ec.ECDSA(hashes.SHA256())))
    assert refusal(raw) == "signature_invalid"


def _set(*path: str | int, to: object) -> Callable[[Any], object]:
    def change(statement: Any) -> None:
        for step in path[:-1]:
            statement = statement[step]
        statement[path[-1]] = to

    return change


def _resource(**fields: str) -> Callable[[Any], object]:
    return lambda statement: statement["predicate"]["resources"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_set("_type", to="https://in-toto.io/Statement/v0.1"), "signature_malformed"),
        (_set("predicateType", to="https://slsa.dev/provenance/v1"), "signature_unsupported"),
        (_set("predicateType", to="https://model_signing/Digests/v0.1"), "signature_unsupported"),
        (_set("subject", to=[]), "signature_malformed"),
        (lambda s: s["subject"].append(s["subject"][0]), "signature_malformed"),
        (_set("subject", 0, "digest", to={"sha512": "00"}), "signature_malformed"),
        (_set("subject", 0, "digest", "sha256", to="0" * 64), "signature_malformed"),
        (_set("subject", 0, "name", to="../tiny.gguf"), "signature_malformed"),
        (_set("subject", 0, "name", to="tiny\x1b[2J"), "signature_malformed"),
        (_set("predicate", to=[]), "signature_malformed"),
        (_set("predicate", "resources", to=[]), "signature_malformed"),
        (_set("predicate", "serialization", "method", to="tar"), "signature_malformed"),
        (_set("predicate", "serialization", "hash_type", to="blake3"), "signature_unsupported"),
        (_resource(algorithm="blake2b"), "signature_unsupported"),
        (_resource(algorithm="md5"), "signature_unsupported"),
        (_resource(digest="00"), "signature_malformed"),
        (_resource(name="../tiny.gguf"), "signature_malformed"),
        (_resource(name="/etc/passwd"), "signature_malformed"),
        (_resource(name="a//b"), "signature_malformed"),
        (_resource(name="a\\b"), "signature_malformed"),
        (_resource(name="a\x00b"), "signature_malformed"),
    ],
)
def test_statements_that_are_none(change: Callable[[Any], object], code: str) -> None:
    assert refusal(resigned(GOOD, KEY, change)) == code


def _repeat(statement: Any) -> None:
    resources = statement["predicate"]["resources"]
    resources.append(resources[0])
    _fix_root(statement)


def _mix(statement: Any) -> None:
    resources = statement["predicate"]["resources"]
    resources.append(resources[0] | {"name": "other"})
    _fix_root(statement)


def _gap(statement: Any) -> None:
    _as_shard(statement)
    resources = statement["predicate"]["resources"]
    resources.append(resources[0] | {"name": ".:6:7"})
    _fix_root(statement)


def _fix_root(statement: Any) -> None:
    joined = b"".join(bytes.fromhex(r["digest"]) for r in statement["predicate"]["resources"])
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(joined).hexdigest()


@pytest.mark.parametrize("change", [_repeat, _mix, _gap])
def test_lists_that_are_consistent_but_ambiguous(change: Callable[[Any], object]) -> None:
    assert refusal(resigned(GOOD, KEY, change)) == "signature_malformed"


@pytest.mark.parametrize("name", [".", ".:0", ".:5:5", ".:7:5", ".:00:5", ".:-1:5", ".:1:5"])
def test_spans_of_shards_that_are_none(name: str) -> None:
    def change(statement: Any) -> None:
        _as_shard(statement)
        statement["predicate"]["resources"][0]["name"] = name

    assert refusal(resigned(GOOD, KEY, change)) == "signature_malformed"


def test_fields_that_a_later_version_adds_to_the_predicate_are_ignored() -> None:
    raw = resigned(GOOD, KEY, _set("predicate", "annotations", to={"a": 1}))
    assert verify_signature(raw, TRUSTED, NOW).refusal(SHA, "tiny.gguf") is None


@pytest.mark.parametrize("valid", [(NOW + DAY, None), (None, NOW), (NOW - DAY, NOW - DAY / 2)])
def test_a_signer_counts_only_while_it_is_valid(valid: tuple[Any, Any]) -> None:
    trusted = replace(TRUSTED, valid_from=valid[0], valid_until=valid[1])
    assert refusal(GOOD, trusted) == "signer_expired"
    trusted = replace(TRUSTED, valid_from=NOW, valid_until=NOW + DAY)
    assert verify_signature(GOOD, trusted, NOW)


ROOT = issue("root", ca=True)


def certified(
    leaf: Issued, *others: Issued, tmp_path: Path, root: Issued = ROOT, at_issue: bool = False
) -> tuple[bytes, TrustedSigner]:
    (tmp_path / "chain.pem").write_bytes(b"".join(one.pem for one in (leaf, *others)))
    chain = load_chain(tmp_path / "chain.pem", leaf.key)
    raw = sign_with_key(make_statement("tiny.gguf", [(".", SHA)]), leaf.key, chain)
    demand = Demand(subject="signer")
    return raw, TrustedSigner("lab", CertificateRoot((root.certificate,), demand, at_issue))


@pytest.mark.claim("SIG-03")
@pytest.mark.parametrize(
    ("leaf", "code"),
    [
        (issue("signer", issue("root", ca=True)), "signer_mismatch"),
        (issue("signer"), "signer_mismatch"),
        (issue("other", ROOT), "signer_mismatch"),
        (issue("signer", ROOT, usage=False), "signer_mismatch"),
        (issue("signer", ROOT, eku=ExtendedKeyUsageOID.SERVER_AUTH), "signer_mismatch"),
        (issue("signer", ROOT, ca=True), "signer_mismatch"),
        (issue("signer", ROOT, valid=(NOW - 9 * DAY, NOW - DAY)), "signer_expired"),
        (issue("signer", ROOT, valid=(NOW + DAY, NOW + 9 * DAY)), "signer_expired"),
        (issue("signer", ROOT, curve=ec.SECP256K1()), "signature_unsupported"),
    ],
    ids=[
        "namesake-root", "self-signed", "other-name", "no-signatures", "tls-only", "ca", "expired",
        "not-yet", "curve",
    ],
)  # fmt: skip
def test_certificates_that_do_not_count(leaf: Issued, code: str, tmp_path: Path) -> None:
    if leaf.key.curve.name == "secp256k1":
        payload = make_statement("tiny.gguf", [(".", SHA)])
        chain = {"certificates": [{"rawBytes": base64.b64encode(leaf.der).decode()}]}
        raw = bundle_json(
            payload,
            leaf.key.sign(pae("application/vnd.in-toto+json", payload), ec.ECDSA(hashes.SHA256())),
            verificationMaterial={"x509CertificateChain": chain},
        )
        trusted = TrustedSigner("lab", CertificateRoot((ROOT.certificate,), Demand("signer")))
    else:
        raw, trusted = certified(leaf, tmp_path=tmp_path)
    assert refusal(raw, trusted) == code
    good = issue("signer", ROOT)
    assert verify_signature(*certified(good, tmp_path=tmp_path), NOW).signer.identity == "signer"


@pytest.mark.claim("SIG-03")
def test_a_signer_cannot_issue_signers(tmp_path: Path) -> None:
    signer = issue("signer", ROOT)
    child = issue("signer", signer)
    raw, trusted = certified(child, signer, tmp_path=tmp_path)
    assert refusal(raw, trusted) == "signer_mismatch"
    short = issue("root", ca=True, path_length=0)
    middle = issue("middle", short, ca=True)
    raw, trusted = certified(issue("signer", middle), middle, tmp_path=tmp_path, root=short)
    assert refusal(raw, trusted) == "signer_mismatch"


def test_an_expired_certificate_counts_only_where_the_operator_said_so(tmp_path: Path) -> None:
    expired = issue("signer", ROOT, valid=(NOW - 9 * DAY, NOW - DAY))
    raw, trusted = certified(expired, tmp_path=tmp_path, at_issue=True)
    assert verify_signature(raw, trusted, NOW).signer.kind == "certificate"
    early = issue("signer", ROOT, valid=(NOW - 60 * DAY, NOW + DAY))
    raw, trusted = certified(early, tmp_path=tmp_path, at_issue=True)
    assert refusal(raw, trusted) == "signer_mismatch", "its root was not valid then"


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    raw, trusted = certified(issue("signer", ROOT), tmp_path=tmp_path)
    chain = {"certificates": [{"rawBytes": "AAAA"}]}
    broken = changed(raw, "verificationMaterial", "x509CertificateChain", to=chain)
    assert refusal(broken, trusted) == "signature_malformed"
    at_issue = replace(trusted, root=replace(trusted.root, at_issue=True))  # type: ignore[type-var]
    assert refusal(broken, at_issue) == "signature_malformed"
    assert refusal(GOOD, trusted) == "signer_mismatch"
    assert refusal(raw, TRUSTED) == "signer_mismatch"


def test_the_demanded_name(tmp_path: Path) -> None:
    leaf = issue("signer", ROOT, san="a@example.org")
    raw, _ = certified(leaf, tmp_path=tmp_path)
    for demand, counts in (
        (Demand(san="a@example.org"), True),
        (Demand("signer", "a@example.org"), True),
        (Demand("other", "a@example.org"), False),
        (Demand(san="b@example.org"), False),
        (Demand(san="A@example.org"), False),
        (Demand(san="example.org"), False),
    ):
        trusted = TrustedSigner("lab", CertificateRoot((ROOT.certificate,), demand))
        if counts:
            assert verify_signature(raw, trusted, NOW)
        else:
            assert refusal(raw, trusted) == "signer_mismatch"


def test_a_key_with_parameters_that_nobody_knows_is_a_code() -> None:
    der = bytearray(issue("signer", ROOT).der)
    at = der.find(bytes.fromhex("06082a8648ce3d030107"))
    der[at + 9] = 0x7F
    chain = {"certificates": [{"rawBytes": base64.b64encode(bytes(der)).decode()}]}
    raw = changed(GOOD, "verificationMaterial", to={"x509CertificateChain": chain})
    trusted = TrustedSigner("lab", CertificateRoot((ROOT.certificate,), Demand("signer")))
    assert refusal(raw, trusted) == "signature_malformed"


@pytest.mark.claim("SIG-02")
def test_the_reference_library_lets_a_renamed_model_pass(tmp_path: Path) -> None:
    """The control: what our check of the name is for."""
    (tmp_path / "k.pub").write_bytes(public_pem(KEY))
    (tmp_path / "m.sig").write_bytes(GOOD)
    renamed = tmp_path / "better.gguf"
    renamed.write_bytes(b"model")
    config = verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "k.pub")
    config.verify(renamed, tmp_path / "m.sig")
    refused = verify_signature(GOOD, TRUSTED, NOW).refusal(SHA, renamed.name)
    assert refused is not None


def test_what_is_encoded_is_what_is_parsed() -> None:
    assert parse_bundle(GOOD).dsse_envelope.payload == make_statement("tiny.gguf", [(".", SHA)])
    assert payload_of(GOOD)["subject"][0]["name"] == "tiny.gguf"
    assert parse_statement(parse_bundle(FOLDER).dsse_envelope.payload).name == "org"
    assert isinstance(issue("x").certificate, x509.Certificate)
