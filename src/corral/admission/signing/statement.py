"""The in-toto statement of an OMS v1.0 signature: names and digests of a model's files.

Trust: operator side; no I/O. Input: a payload whose signature has been verified. A signer can err
or be malicious, so every name and number is checked here all the same.

    1 statement type, one subject with a sha256, predicate type
    2 serialization: `files` or `shards`, sha256 only
    3 names are plain relative paths, each once; shards follow each other from 0
    4 the subject's digest is that of all resources' digests in order

The list of ignored paths in a statement is not used: whether a file may lie beside the signed ones
is the verifier's to say. https://github.com/ossf/model-signing-spec
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from corral.admission.signing.refusal import refused
from corral.core.ids import Digest

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
SINGLE: Final = "."
"""Name of the only resource when one file was signed and not a folder."""
RESOURCES: Final = 1 << 14

_SHARD: Final = re.compile(r"(.+):(0|[1-9][0-9]{0,18}):([1-9][0-9]{0,18})", re.DOTALL)
_Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Name = Annotated[str, Meta(min_length=1, max_length=4096)]


@dataclass(frozen=True, slots=True)
class Part:
    """A span of a file and its digest.

    Attributes:
        start: offset of the first byte.
        end: offset after the last byte; None means to the end of the file.
    """

    start: int
    end: int | None
    sha256: Digest


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was signed.

    Attributes:
        name: of the file or folder when it was signed.
        files: the parts of each file in order, by path relative to the folder; for a single file
            the path is `SINGLE`.
    """

    name: str
    files: Mapping[str, tuple[Part, ...]]

    def whole_files(self) -> Mapping[Digest, str]:
        """Return the names of files that were signed in one part, by digest."""
        return {
            parts[0].sha256: path
            for path, parts in self.files.items()
            if len(parts) == 1 and parts[0].end is None
        }


class _Resource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: _Name
    algorithm: Annotated[str, Meta(max_length=64)]
    digest: Annotated[str, Meta(max_length=256)]


class _Serialization(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    method: Literal["files", "shards"]
    hash_type: str
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()
    shard_size: Annotated[float, Meta(ge=1, le=1 << 53)] | None = None


class _Predicate(msgspec.Struct, frozen=True):
    """Fields that v1.0 does not know are ignored, as it demands."""

    serialization: _Serialization
    resources: Annotated[tuple[_Resource, ...], Meta(min_length=1, max_length=RESOURCES)]


class _SubjectDigest(msgspec.Struct, frozen=True):
    sha256: _Hex


class _Subject(msgspec.Struct, frozen=True):
    name: _Name
    digest: _SubjectDigest


class _Statement(msgspec.Struct, frozen=True, rename={"type_": "_type"}):
    type_: Literal["https://in-toto.io/Statement/v1"]
    subject: Annotated[tuple[_Subject, ...], Meta(min_length=1, max_length=1)]
    predicateType: str  # noqa: N815 - the name in the format
    predicate: msgspec.Raw


_statements: Final = msgspec.json.Decoder(_Statement)
_predicates: Final = msgspec.json.Decoder(_Predicate)


def parse_statement(payload: bytes) -> Manifest:
    """Return what a signed payload says of the model's files.

    Raises:
        CorralError: codes `signature_malformed`, `signature_unsupported`.
    """
    # 1
    try:
        statement = _statements.decode(payload)
        if statement.predicateType != PREDICATE_TYPE:
            raise refused("signature_unsupported", "what was signed is not a model (OMS v1.0)")
        predicate = _predicates.decode(statement.predicate)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(
            "signature_malformed", "the signed statement is not one of OMS v1.0"
        ) from error
    subject = statement.subject[0]
    if "/" in subject.name or not subject.name.isprintable():
        raise refused("signature_malformed", "the signed name is not one of a file or folder")
    # 2, 3
    files = _files(predicate)
    # 4
    root = hashlib.sha256(b"".join(bytes.fromhex(r.digest) for r in predicate.resources))
    if root.hexdigest() != subject.digest.sha256:
        raise refused("signature_malformed", "the signed list contradicts its own digest")
    return Manifest(subject.name, files)


def make_statement(name: str, files: Sequence[tuple[str, Digest]]) -> bytes:
    """Return the statement about files that were hashed whole, as canonical JSON.

    Args:
        name: of the model's file or folder.
        files: (relative path, digest); (`SINGLE`, digest) for one file.
    """
    ordered = sorted(files)
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in ordered))
    return msgspec.json.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": root.hexdigest()}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                },
                "resources": [
                    {"name": path, "algorithm": "sha256", "digest": digest}
                    for path, digest in ordered
                ],
            },
        }
    )


def _files(predicate: _Predicate) -> dict[str, tuple[Part, ...]]:
    how = predicate.serialization
    algorithm = "sha256"
    if how.method == "shards":
        size = how.shard_size
        if size is None or size != int(size):
            raise refused("signature_malformed", "the signed list has shards of no size")
        algorithm = f"sha256-sharded-{int(size)}"
    files: dict[str, tuple[Part, ...]] = {}
    for resource in predicate.resources:
        if how.hash_type != "sha256" or resource.algorithm != algorithm:
            raise refused("signature_unsupported", "the model was not signed by sha256 digests")
        if not re.fullmatch(r"[0-9a-f]{64}", resource.digest):
            raise refused("signature_malformed", "a signed digest is not one of sha256")
        digest = Digest(resource.digest)
        if how.method == "files":
            path, part = resource.name, Part(0, None, digest)
        else:
            path, part = _shard(resource.name, digest)
        known = files.get(path, ())
        begun = known[-1].end if known else 0
        if not _is_plain(path) or part.start != begun or (known and part.end is None):
            raise refused("signature_malformed", "the signed list has an unusual or repeated name")
        files[path] = (*known, part)
    if SINGLE in files and len(files) > 1:
        raise refused("signature_malformed", "the signed list mixes one file with a folder")
    return files


def _shard(name: str, digest: Digest) -> tuple[str, Part]:
    match = _SHARD.fullmatch(name)
    if match is None or int(match[2]) >= int(match[3]):
        raise refused("signature_malformed", "a signed shard has no span")
    return match[1], Part(int(match[2]), int(match[3]), digest)


def _is_plain(path: str) -> bool:
    if path == SINGLE:
        return True
    parts = path.split("/")
    return (
        path.isprintable()
        and "\\" not in path
        and all(part not in {"", ".", ".."} for part in parts)
    )
