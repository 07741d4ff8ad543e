"""An image manifest of a registry: parsed strictly, and the one layer in it that is the model.

Trust: fetch jail; no I/O. Input: untrusted JSON of at most `MANIFEST_BYTES`.
OCI image-spec 1.1 manifest, Docker image manifest v2 schema 2 (what Ollama uses).

    1 its digest is the pinned one, if one was pinned, and what the server says of it
    2 one media type, the same in header and document, a manifest and no index; no document that
      is both (CVE-2021-41190)
    3 each digest is `sha256:` and 64 small hex digits (CVE-2024-37032, CVE-2026-103663)
    4 exactly one layer is the model, or the named part of it: by media type or file name, never by
      its place
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from corral.admission.layer import LAYERS, LayerClaim
from corral.admission.registry_source import RegistrySource, parse_digest_reference
from corral.core.errors import CorralError
from corral.core.ids import Digest

MANIFEST_BYTES: Final = 4 << 20
MANIFEST_TYPES: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_OLLAMA: Final = "application/vnd.ollama.image."
_OLLAMA_MODEL: Final = f"{_OLLAMA}model"
_CHANGES_THE_MODEL: Final = frozenset({f"{_OLLAMA}adapter"})
"""Layers without which the model is another one; we do not apply them."""
_MODEL_TYPES: Final = frozenset({
    _OLLAMA_MODEL,
    "application/vnd.docker.ai.gguf.v3",
    "application/vnd.cncf.model.weight.v1.raw",
    "application/vnd.gguf",
    "application/gguf",
    "application/x-gguf",
})  # fmt: skip
_TITLE: Final = "org.opencontainers.image.title"
_FILE_PATH: Final = "org.cncf.model.filepath"
"""ModelPack's, which Docker Model Runner writes too: a path, of which its last part is the name."""
_FIRST_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,99}-00001-of-[0-9]{5}\.gguf")


class _Descriptor(msgspec.Struct, rename="camel"):
    media_type: Annotated[str, Meta(max_length=255)]
    digest: Annotated[str, Meta(max_length=255)]
    size: Annotated[int, Meta(ge=0, lt=1 << 53)]
    annotations: dict[str, str] | None = None

    @property
    def title(self) -> str:
        said = self.annotations or {}
        return said.get(_TITLE) or said.get(_FILE_PATH, "").rpartition("/")[2]


class _Document(msgspec.Struct, rename="camel"):
    schema_version: int
    config: _Descriptor
    layers: Annotated[list[_Descriptor], Meta(max_length=LAYERS)]
    media_type: str = ""
    manifests: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    fs_layers: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Kind(msgspec.Struct, rename="camel"):
    media_type: str = ""
    manifests: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class ModelLayer(msgspec.Struct, frozen=True):
    """Where the model is, and what the manifest says besides.

    Attributes:
        manifest: digest of the manifest's bytes.
        others: the other layers and the configuration, in the manifest's order.
    """

    manifest: Digest
    digest: Digest
    size_bytes: int
    others: tuple[LayerClaim, ...]


def find_model_layer(raw: bytes, headers: Mapping[str, str], source: RegistrySource) -> ModelLayer:
    """Return the layer of a manifest that is the model.

    Raises:
        CorralError: codes `hash_mismatch`, `bad_manifest`, `member_not_found`, `member_ambiguous`.
    """
    digest = check_manifest_digest(raw, headers, source)
    document = _parse(raw, headers.get("content-type", "").partition(";")[0].strip().lower())
    described = [(layer, _digest_of(layer)) for layer in (document.config, *document.layers)]
    candidates = [pair for pair in described[1:] if _is_model(pair[0], source)]
    if not candidates:
        raise CorralError("member_not_found", "the manifest has no layer that is such a GGUF file")
    if len(candidates) > 1:
        titles = (layer.title for layer, _ in candidates)
        first = next(filter(_FIRST_PART.fullmatch, titles), "FILE.gguf")
        raise CorralError(
            "member_ambiguous",
            "the manifest has several layers that may be the model",
            remedy=f"name the file, or its first part: oci://HOST/REPOSITORY:TAG#{first}",
        )
    if any(layer.media_type in _CHANGES_THE_MODEL for layer, _ in described):
        raise _bad("the model is changed by an adapter layer, which is not supported")
    ((model, found),) = candidates
    others = tuple(
        LayerClaim(_shown(layer.media_type), other, layer.size, _shown(layer.title))
        for layer, other in described
        if layer is not model
    )
    return ModelLayer(digest, found, model.size, others)


def check_manifest_digest(raw: bytes, headers: Mapping[str, str], source: RegistrySource) -> Digest:
    """Return the digest of the manifest that a source names.

    Raises:
        CorralError: code `hash_mismatch`: not the pinned one, or not what the registry says.
    """
    digest = Digest(hashlib.sha256(raw).hexdigest())
    if source.manifest and source.manifest != digest:
        raise CorralError(
            "hash_mismatch",
            f"the manifest has sha256 {digest}, expected {source.manifest}",
            remedy="find out why the model changed before you trust the new digest",
        )
    said = headers.get("docker-content-digest", "")
    # Other algorithms are the server's affair: ours is the one that we record.
    if said.startswith("sha256:") and parse_digest_reference(said) != digest:
        raise CorralError("hash_mismatch", "the manifest is not the one that the registry says")
    return digest


def _parse(raw: bytes, header_type: str) -> _Document:
    try:
        kind = msgspec.json.decode(raw, type=_Kind)
        if kind.manifests is not msgspec.UNSET or {kind.media_type, header_type} & {*INDEX_TYPES}:
            raise _bad(
                "it is an index of several manifests",
                "name one of them by its digest: oci://HOST/REPOSITORY@sha256:…",
            )
        document = msgspec.json.decode(raw, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad("it is not an image manifest") from error
    if document.schema_version != 2 or document.fs_layers is not msgspec.UNSET:
        raise _bad("it is not of schema version 2")
    named = document.media_type or header_type
    if named not in MANIFEST_TYPES or header_type not in {named, "application/json", ""}:
        raise _bad("its media type is not that of an image manifest, or is said in two ways")
    return document


def _is_model(layer: _Descriptor, source: RegistrySource) -> bool:
    if source.kind == "ollama":
        return layer.media_type == _OLLAMA_MODEL
    if source.title:
        return layer.title == source.title
    return layer.media_type in _MODEL_TYPES or layer.title.lower().endswith(".gguf")


def _digest_of(layer: _Descriptor) -> Digest:
    digest = parse_digest_reference(layer.digest)
    if digest is None:
        raise _bad("a layer's digest is not sha256 and 64 hex digits")
    return digest


def _shown(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text[:255])


def _bad(why: str, remedy: str = "") -> CorralError:
    return CorralError("bad_manifest", f"the registry's manifest cannot be used: {why}",
                       remedy=remedy)  # fmt: skip
