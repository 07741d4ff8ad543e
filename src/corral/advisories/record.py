"""One advisory, in the OSV format with an extension of corral's own.

Trust: operator side; no I/O. Input: the shipped files, and files that the operator put down, which
may come from anybody: typed and bounded. What OSV has and corral does not use is ignored; the
extension is strict, so that a mistyped field never leaves a digest out.

https://ossf.github.io/osv-schema/
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from corral.core.errors import CorralError

RECORD_BYTES: Final = 1 << 20
ENGINE: Final = "llama.cpp"
"""Name and ecosystem under which a record counts builds of the engine: `b` and a number."""

_BUILD: Final = re.compile(r"b?(0|[1-9][0-9]{0,8})")
_Text = Annotated[str, Meta(max_length=20_000)]
_Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Fingerprint = Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
_Moment = Annotated[datetime, Meta(tz=True)]
_Slug = Annotated[str, Meta(pattern=r"\A[a-z0-9_]{1,48}\Z")]


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a range of affected versions begins or ends; exactly one is set."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None


class Range(msgspec.Struct, frozen=True, omit_defaults=True):
    """Versions between events, in their order."""

    type: Literal["GIT", "SEMVER", "ECOSYSTEM"]
    events: Annotated[tuple[Event, ...], Meta(min_length=1, max_length=64)]


class Package(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is affected."""

    ecosystem: _Text
    name: _Text
    purl: _Text = ""


class Affected(msgspec.Struct, frozen=True, omit_defaults=True):
    """A package and its affected versions."""

    package: Package | None = None
    ranges: Annotated[tuple[Range, ...], Meta(max_length=64)] = ()


class Reference(msgspec.Struct, frozen=True):
    """Where more is written."""

    type: _Text
    url: _Text


class Extension(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What corral needs beyond OSV, at `database_specific.corral`.

    Attributes:
        digests: sha256 of model files or wheels that are never admitted.
        signers: fingerprints of keys whose signatures no longer count.
        constructs: rules of the scanner that refuse what the flaw needs in a file.
        answer: why the flaw is not reached here, or what is done besides.
        feature: part of the engine without which the flaw is not reached.
    """

    digests: tuple[_Digest, ...] = ()
    signers: tuple[_Fingerprint, ...] = ()
    constructs: tuple[_Slug, ...] = ()
    answer: _Text = ""
    feature: _Text = ""


class DatabaseSpecific(msgspec.Struct, frozen=True, omit_defaults=True):
    """OSV's place for extensions; those of others are ignored."""

    corral: Extension = Extension()


class Advisory(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One record."""

    schema_version: str = "1.0.0"
    id: Annotated[str, Meta(pattern=r"\A[A-Za-z][A-Za-z0-9]*-[A-Za-z0-9:._-]{1,100}\Z")]
    modified: _Moment
    published: _Moment | None = None
    withdrawn: _Moment | None = None
    aliases: tuple[_Text, ...] = ()
    summary: _Text = ""
    details: _Text = ""
    affected: Annotated[tuple[Affected, ...], Meta(max_length=256)] = ()
    references: Annotated[tuple[Reference, ...], Meta(max_length=256)] = ()
    database_specific: DatabaseSpecific = DatabaseSpecific()

    @property
    def corral(self) -> Extension:
        """What corral needs beyond OSV."""
        return self.database_specific.corral

    @property
    def concerns_engine(self) -> bool:
        """Whether it says which builds of the engine are affected."""
        return any(a.package and a.package.name == ENGINE for a in self.affected)

    def affects_build(self, build: int) -> bool:
        """Return whether a build of the engine is in an affected range."""
        return any(
            is_in_range(build, one.events)
            for affected in self.affected
            if affected.package and affected.package.name == ENGINE
            for one in affected.ranges
            if one.type == "ECOSYSTEM"
        )


_decoder: Final = msgspec.json.Decoder(Advisory)


def parse_advisory(raw: bytes, name: str) -> Advisory:
    """Return the record in `raw`.

    Args:
        raw: a JSON document.
        name: of the file, for the message.

    Raises:
        CorralError: code `advisory_malformed`.
    """
    if len(raw) > RECORD_BYTES:
        raise _malformed(name)
    try:
        record = _decoder.decode(raw)
        record.affects_build(0)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _malformed(name) from error
    return record


def is_in_range(build: int, events: tuple[Event, ...]) -> bool:
    """Return whether a build number lies in a range.

    Raises:
        ValueError: an event is not about a build.
    """
    affected = False
    for event in sorted(events, key=_moment):
        match event:
            case Event(introduced=str(begun)):
                affected = affected or build >= _number(begun)
            case Event(fixed=str(ended)) | Event(limit=str(ended)):
                affected = affected and build < _number(ended)
            case Event(last_affected=str(last)):
                affected = affected and build <= _number(last)
    return affected


def _malformed(name: str) -> CorralError:
    return CorralError(
        "advisory_malformed",
        f"the advisory {name} is not one record in OSV's format",
        remedy="correct or remove the file; until then no model is admitted",
    )


def _moment(event: Event) -> int:
    ends = (event.introduced, event.fixed, event.last_affected, event.limit)
    named = [end for end in ends if end is not None]
    if len(named) != 1:
        raise ValueError("an event has one end")
    return _number(named[0])


def _number(text: str) -> int:
    match = _BUILD.fullmatch(text)
    if match is None:
        raise ValueError(f"not a build: {text}")
    return int(match[1])
