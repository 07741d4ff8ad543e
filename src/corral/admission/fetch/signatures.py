"""Collect what a registry keeps of signatures of a manifest; none of it is judged here.

Trust: fetch jail. Input: untrusted manifests, indexes and blobs; at most `SIGNATURES` of each kind,
each blob held to its digest so that a broken one is told from a forged one.

    1 the digest of the manifest that the source names
    2 tag `sha256-<hex>.sig`: layers with a payload, its signature in an annotation
    3 referrers of the manifest (OCI 1.1), or the index under the tag `sha256-<hex>`, which stands
      in for them at older registries: Sigstore bundles

https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from corral.admission.fetch.manifest import (
    INDEX_TYPES,
    MANIFEST_BYTES,
    MANIFEST_TYPES,
    check_manifest_digest,
)
from corral.admission.fetch.registry import Registry
from corral.admission.fetch.web import Web
from corral.admission.registry_source import RegistrySource, parse_digest_reference
from corral.admission.signature_set import (
    BUNDLE_BYTES,
    PAYLOAD_BYTES,
    SIGNATURE_CHARS,
    SIGNATURES,
    SignatureSet,
    SimpleSignature,
)
from corral.core.errors import CorralError

_SIMPLE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIGNATURE: Final = "dev.cosignproject.cosign/signature"
_BUNDLE: Final = "application/vnd.dev.sigstore.bundle"
"""What the media types of bundles begin with; versions follow."""
_ACCEPT: Final = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))

_Document = TypeVar("_Document")
_MediaType = Annotated[str, Meta(max_length=255)]


class _Descriptor(msgspec.Struct, rename="camel"):
    media_type: _MediaType
    digest: Annotated[str, Meta(max_length=255)]
    artifact_type: _MediaType = ""
    annotations: dict[str, str] | None = None

    @property
    def signature(self) -> str:
        """Of cosign's older form; empty if there is none, or none of a possible length."""
        found = (self.annotations or {}).get(_SIGNATURE, "")
        return found if len(found) <= SIGNATURE_CHARS else ""


class _Manifest(msgspec.Struct, rename="camel"):
    layers: Annotated[list[_Descriptor], Meta(max_length=256)] = []


class _Index(msgspec.Struct, rename="camel"):
    manifests: Annotated[list[_Descriptor], Meta(max_length=1024)] = []


def collect_signatures(web: Web, source: RegistrySource) -> SignatureSet:
    """Return the signatures of the manifest that `source` names; none is a set too.

    Raises:
        CorralError: codes of `Registry.document`; `bad_manifest`, `hash_mismatch`.
    """
    registry = Registry(web, source)
    # 1
    raw, headers = registry.manifest(source.reference)
    digest = check_manifest_digest(raw, headers, source)
    # 2
    raw = _optional(registry, f"manifests/sha256-{digest}.sig", _ACCEPT)
    layers = _parse(raw, _Manifest).layers if raw else []
    signed = [layer for layer in layers if layer.media_type == _SIMPLE and layer.signature]
    simple = tuple(
        SimpleSignature(_blob(registry, layer, PAYLOAD_BYTES), layer.signature)
        for layer in signed[:SIGNATURES]
    )
    # 3
    bundles = tuple(
        _blob(registry, layer, BUNDLE_BYTES)
        for one in _referrers(registry, digest)
        for layer in _bundle_layers(registry, one)
    )
    return SignatureSet(digest, simple, bundles)


def _referrers(registry: Registry, digest: str) -> list[_Descriptor]:
    index = INDEX_TYPES[0]
    raw = _optional(registry, f"referrers/sha256:{digest}", index) or _optional(
        registry, f"manifests/sha256-{digest}", index
    )
    listed = _parse(raw, _Index).manifests if raw else []
    return [one for one in listed if one.artifact_type.startswith(_BUNDLE)][:SIGNATURES]


def _bundle_layers(registry: Registry, referrer: _Descriptor) -> Iterator[_Descriptor]:
    digest = parse_digest_reference(referrer.digest)
    if digest is None:
        raise _bad()
    raw, _ = registry.manifest(f"sha256:{digest}")
    if hashlib.sha256(raw).hexdigest() != digest:
        raise _another()
    for layer in _parse(raw, _Manifest).layers[:1]:
        if layer.media_type.startswith(_BUNDLE):
            yield layer


def _blob(registry: Registry, layer: _Descriptor, limit_bytes: int) -> bytes:
    digest = parse_digest_reference(layer.digest)
    if digest is None:
        raise _bad()
    raw, _ = registry.document(f"blobs/sha256:{digest}", "*/*", limit_bytes)
    if hashlib.sha256(raw).hexdigest() != digest:
        raise _another()
    return raw


def _optional(registry: Registry, path: str, accept: str) -> bytes:
    """Return a document, or nothing where there is none: 404, or not known to this registry."""
    try:
        return registry.document(path, accept, MANIFEST_BYTES)[0]
    except CorralError as error:
        if error.code not in {"not_found", "http_error"}:
            raise
        return b""


def _parse(raw: bytes, kind: type[_Document]) -> _Document:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad() from error


def _another() -> CorralError:
    return CorralError("hash_mismatch", "a signature's blob is not the one that was named")


def _bad() -> CorralError:
    return CorralError("bad_manifest", "what the registry keeps of signatures cannot be read")
