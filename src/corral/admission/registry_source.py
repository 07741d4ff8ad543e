"""Models in registries: what `ollama://` and `oci://` name, and how it is written.

Trust: operator side and fetch jail; no I/O. Input: what the operator typed. Every part is held to
the alphabet of the distribution specification before it reaches a URL or a message; a digest is
`sha256:` and 64 small hex digits and nothing else (CVE-2024-37032, CVE-2026-103663).

    ollama://[HOST[:PORT]/][NAMESPACE/]MODEL[:TAG][@sha256:HEX]
    oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:HEX][#FILE]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from corral.core.ids import Digest

OLLAMA_HOST: Final = "registry.ollama.ai"

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[1-9][0-9]{0,4})?")
_COMPONENT: Final = r"[a-zA-Z0-9]+(?:(?:\.|_|__|-+)[a-zA-Z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT}){{0,15}}")
"""As the specification's, and capitals, which hubs that speak the protocol have in their names."""
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_TITLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ +=-]{0,199}")
_NAME_CHARS: Final = 255


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """One model of a registry.

    Attributes:
        kind: which layers count as the model, and how a pinned manifest is asked for.
        host: `name` or `name:port`.
        repository: path of the repository.
        tag: which of its manifests; `latest` if the operator named none.
        manifest: digest that the manifest must have; None: any.
        title: file name of the wanted layer (`oci` only); empty: there must be one candidate.
    """

    kind: Literal["ollama", "oci"]
    host: str
    repository: str
    tag: str = "latest"
    manifest: Digest | None = None
    title: str = ""

    def __str__(self) -> str:
        pin = f"@sha256:{self.manifest}" if self.manifest else ""
        title = f"#{self.title}" if self.title else ""
        return f"{self.kind}://{self.host}/{self.repository}:{self.tag}{pin}{title}"

    @property
    def reference(self) -> str:
        """What is asked for: an OCI registry has manifests by digest, Ollama's only by tag."""
        return f"sha256:{self.manifest}" if self.manifest and self.kind == "oci" else self.tag

    @property
    def file_name(self) -> str:
        """Name to make the model's name from."""
        if self.title:
            return self.title
        last = self.repository.rpartition("/")[2]
        return last if self.tag == "latest" else f"{last}-{self.tag}"


def parse_digest_reference(text: str) -> Digest | None:
    """Return the digest that `sha256:HEX` names, or None where it is anything else."""
    found = _DIGEST.fullmatch(text)
    return Digest(found[1]) if found else None


def parse_ollama(rest: str) -> RegistrySource | None:
    """Return what stands behind `ollama://`, or None where it is no name of a model."""
    name = _split(rest)
    if name is None or name.title:
        return None
    match name.path.split("/"):
        case [model]:
            host, repository = OLLAMA_HOST, f"library/{model}"
        case [namespace, model]:
            host, repository = OLLAMA_HOST, f"{namespace}/{model}"
        case [host, namespace, model]:
            repository = f"{namespace}/{model}"
        case _:
            return None
    return _checked("ollama", host, repository, name)


def parse_oci(rest: str) -> RegistrySource | None:
    """Return what stands behind `oci://`, or None where it is no reference."""
    name = _split(rest)
    if name is None:
        return None
    host, _, repository = name.path.partition("/")
    return _checked("oci", host, repository, name)


@dataclass(frozen=True, slots=True)
class _Name:
    path: str
    tag: str
    manifest: Digest | None
    title: str


def _split(rest: str) -> _Name | None:
    rest, has_title, title = rest.partition("#")
    rest, has_pin, pin = rest.partition("@")
    folder, slash, last = rest.rpartition("/")
    last, has_tag, tag = last.partition(":")
    digest = parse_digest_reference(pin)
    if (has_pin and digest is None) or (has_tag and not _TAG.fullmatch(tag)):
        return None
    if has_title and not _TITLE.fullmatch(title):
        return None
    return _Name(f"{folder}{slash}{last}", tag or "latest", digest, title)


def _checked(
    kind: Literal["ollama", "oci"], host: str, repository: str, name: _Name
) -> RegistrySource | None:
    sound = _HOST.fullmatch(host) and _REPOSITORY.fullmatch(repository)
    if not sound or len(repository) > _NAME_CHARS:
        return None
    return RegistrySource(kind, host.lower(), repository, name.tag, name.manifest, name.title)
