"""Sigstore signers: the real library, no network. What cannot be proven is an error with a code."""

from __future__ import annotations

import base64
import importlib.resources
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from corral.admission.signing.making import sign_with_key
from corral.admission.signing.sigstore_identity import sign_sigstore, verify_sigstore
from corral.admission.signing.statement import make_statement
from corral.admission.signing.trust_root import SigstoreRoot, TrustedSigner
from corral.admission.signing.verification import verify_signature
from corral.core.errors import CorralError
from corral.core.ids import Digest
from tests.support.signatures import NOW, issue, new_key
from tests.support.sigstore_instance import IDENTITY, ISSUER, SigstoreInstance

KEY_SIGNED = sign_with_key(make_statement("tiny.gguf", [(".", Digest("0" * 64))]), new_key())


@pytest.fixture
def trusted_root(tmp_path: Path) -> Path:
    """The file of Sigstore's public instance, as the library ships it."""
    folder = importlib.resources.files("sigstore._store")
    shipped = folder / "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev" / "trusted_root.json"
    file = tmp_path / "trusted_root.json"
    file.write_bytes(shipped.read_bytes())
    return file


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No connection can be made, and nothing is cached."""

    def refuse(*_args: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def refusal(raw: bytes, root: Path | None) -> str:
    trusted = TrustedSigner("ci", SigstoreRoot("a@example.org", "https://issuer.example", root))
    with pytest.raises(CorralError) as caught:
        verify_signature(raw, trusted, NOW)
    assert caught.value.remedy
    return caught.value.code


def certified_bundle() -> bytes:
    """Return a bundle of Sigstore's kind that Sigstore never saw."""
    document = json.loads(KEY_SIGNED)
    entry = {
        "logIndex": "1",
        "logId": {"keyId": base64.b64encode(b"0" * 32).decode()},
        "kindVersion": {"kind": "dsse", "version": "0.0.1"},
        "integratedTime": "1764072000",
        "inclusionPromise": {"signedEntryTimestamp": base64.b64encode(b"0" * 70).decode()},
        "inclusionProof": {
            "logIndex": "1",
            "rootHash": base64.b64encode(b"0" * 32).decode(),
            "treeSize": "2",
            "hashes": [base64.b64encode(b"0" * 32).decode()],
            "checkpoint": {"envelope": "x"},
        },
        "canonicalizedBody": base64.b64encode(b"{}").decode(),
    }
    leaf = issue("signer", issue("root", ca=True), san="a@example.org")
    document["verificationMaterial"] = {
        "certificate": {"rawBytes": base64.b64encode(leaf.der).decode()},
        "tlogEntries": [entry],
    }
    return json.dumps(document).encode()


@pytest.mark.claim("SIG-06")
def test_what_sigstore_never_saw_is_invalid(trusted_root: Path, no_network: None) -> None:
    from sigstore.models import Bundle

    raw = certified_bundle()
    assert Bundle.from_json(raw), "the control: it is a bundle"
    assert refusal(raw, trusted_root) == "signature_invalid"


@pytest.mark.claim("SIG-06")
def test_without_a_network_and_a_trusted_root_nothing_passes(no_network: None) -> None:
    assert refusal(certified_bundle(), None) == "sigstore_offline"


OURS = SigstoreInstance()
STATEMENT = make_statement("tiny.gguf", [(".", Digest("0" * 64))])
OTHER_STATEMENT = make_statement("tiny.gguf", [(".", Digest("1" * 64))])


def grafted(part: str) -> bytes:
    """Return a bundle with one part of another one that is as good."""
    document, other = json.loads(OURS.bundle(STATEMENT)), json.loads(OURS.bundle(OTHER_STATEMENT))
    if part == "payload":
        document["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    elif part == "log entry":
        material = document["verificationMaterial"]
        material["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
    elif part == "certificate":
        material = document["verificationMaterial"]
        material["certificate"] = other["verificationMaterial"]["certificate"]
    elif part == "time":
        (entry,) = document["verificationMaterial"]["tlogEntries"]
        entry["integratedTime"] = str(int(entry["integratedTime"]) + 60)
    elif part == "promise":
        (entry,) = document["verificationMaterial"]["tlogEntries"]
        (given,) = other["verificationMaterial"]["tlogEntries"]
        entry["inclusionPromise"] = given["inclusionPromise"]
    return json.dumps(document).encode()


HOSTILE: dict[str, bytes] = {
    "another authority": replace(OURS, ca_key=new_key()).bundle(STATEMENT),
    "a certificate that no log has": replace(OURS, ct_key=new_key()).bundle(STATEMENT),
    "an entry of another log": replace(OURS, rekor_key=new_key()).bundle(STATEMENT),
    "another identity": OURS.bundle(STATEMENT, identity="other@example.org"),
    "another issuer": OURS.bundle(STATEMENT, issuer="https://other.example"),
    **{part: grafted(part) for part in (
        "payload", "log entry", "certificate", "time", "promise",
    )},
}  # fmt: skip


@pytest.mark.claim("SIG-06")
@pytest.mark.parametrize("case", ["", *HOSTILE])
def test_what_our_own_sigstore_saw(tmp_path: Path, no_network: None, case: str) -> None:
    """The control is a bundle that verifies, without a network; each case has one thing wrong."""
    root = tmp_path / "root.json"
    OURS.write_trusted_root(root)
    trusted = TrustedSigner("ci", SigstoreRoot(IDENTITY, ISSUER, root))
    if not case:
        signed = verify_signature(OURS.bundle(STATEMENT), trusted, NOW)
        assert (signed.signer.kind, signed.signer.identity) == ("sigstore", IDENTITY)
        assert signed.refusal(Digest("0" * 64), "tiny.gguf") is None
        assert signed.refusal(Digest("1" * 64), "tiny.gguf") is not None
        return
    with pytest.raises(CorralError) as caught:
        verify_signature(HOSTILE[case], trusted, NOW)
    assert caught.value.code == "signature_invalid"


def test_a_key_is_no_identity(trusted_root: Path) -> None:
    assert refusal(KEY_SIGNED, trusted_root) == "signature_malformed"


@pytest.mark.parametrize("raw", [b"", b"{}", b"[", b"\xff", b" " * ((4 << 20) + 1)])
def test_bytes_that_are_no_bundle(raw: bytes, trusted_root: Path) -> None:
    assert refusal(raw, trusted_root) == "signature_malformed"


def test_a_broken_trusted_root(tmp_path: Path) -> None:
    (tmp_path / "root.json").write_text("{}")
    assert refusal(certified_bundle(), tmp_path / "root.json") == "signing_key_unusable"
    assert refusal(certified_bundle(), tmp_path / "none.json") == "signing_key_unusable"


def test_signing_without_a_network(no_network: None) -> None:
    with pytest.raises(CorralError) as caught:
        sign_sigstore(make_statement("tiny.gguf", [(".", Digest("0" * 64))]))
    assert caught.value.code == "sigstore_offline"


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sigstore.errors", "sigstore.dsse"):
        monkeypatch.setitem(sys.modules, name, None)
    root = SigstoreRoot("a", "b")
    for attempt in (lambda: verify_sigstore(KEY_SIGNED, root), lambda: sign_sigstore(b"{}")):
        with pytest.raises(CorralError) as caught:
            attempt()
        assert caught.value.code == "sigstore_missing"
