"""Signatures and advisories: whatever the bytes, a typed error or what was really signed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec

from corral.admission.signature_set import SignatureSet, SimpleSignature, encode_set
from corral.admission.signing.attached import verify_attached
from corral.admission.signing.bundle import parse_bundle
from corral.admission.signing.cosign import verify_manifest_bundle, verify_simple_signing
from corral.admission.signing.making import sign_with_key
from corral.admission.signing.statement import SINGLE, make_statement, parse_statement
from corral.admission.signing.trust_root import KeyRoot, TrustedSigner
from corral.admission.signing.verification import verify_signature
from corral.advisories.record import parse_advisory
from corral.core.errors import CorralError
from corral.core.ids import Digest
from fuzz.target import Target

_NOW = datetime(2026, 11, 25, tzinfo=UTC)
_KEY = ec.derive_private_key(1 << 200, ec.SECP256R1())
_TRUSTED = TrustedSigner("alice", KeyRoot(_KEY.public_key()))
_STATEMENT = make_statement("tiny.gguf", [(SINGLE, Digest("a" * 64))])
_BUNDLE = sign_with_key(_STATEMENT, _KEY)
_SIGNED = parse_statement(_STATEMENT)
_SHARDS = (
    _STATEMENT.replace(b'"files"', b'"shards","shard_size":5.0')
    .replace(b'"."', b'".:0:5"')
    .replace(b'"algorithm":"sha256"', b'"algorithm":"sha256-sharded-5"')
)
_PAYLOAD = (
    b'{"critical":{"identity":{"docker-reference":"r/m"},"image":{"docker-manifest-digest":'
    b'"sha256:' + b"a" * 64 + b'"},"type":"cosign container image signature"},"optional":null}'
)
_SET = encode_set(SignatureSet("a" * 64, (SimpleSignature(_PAYLOAD, "eA=="),), (_BUNDLE,)))
_ADVISORY = (
    b'{"id":"X-1","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":'
    b'"llama.cpp","name":"llama.cpp"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},'
    b'{"fixed":"b5"}]}]}],"database_specific":{"corral":{"digests":[]}}}'
)


def check(data: bytes) -> None:
    """Parse as each kind, signed or not; only an unchanged statement verifies."""
    attempts: tuple[Callable[[], object], ...] = (
        lambda: parse_bundle(data),
        lambda: parse_statement(data),
        lambda: parse_advisory(data, "x"),
        lambda: verify_manifest_bundle(sign_with_key(data, _KEY), _TRUSTED, _NOW),
        lambda: verify_simple_signing(data, data[:99].decode("latin-1"), _TRUSTED, _NOW),
        lambda: verify_attached(data, _TRUSTED, _NOW, None),
    )
    for attempt in attempts:
        try:
            attempt()
        except CorralError:
            continue
    try:
        signed = verify_signature(data, _TRUSTED, _NOW)
    except CorralError:
        return
    if signed.manifest != _SIGNED:
        raise AssertionError("a statement verifies that nobody signed")


TARGET = Target("signature", check, (_BUNDLE, _STATEMENT, _SHARDS, _PAYLOAD, _ADVISORY, _SET))
