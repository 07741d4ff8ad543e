"""The files of a model in several files, by the name of the first: `X-00001-of-00003.gguf`.

Trust: operator side; no I/O. Input: a parsed source. Only names are derived; whether the files are
one model says the scan.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from corral.admission.registry_source import RegistrySource
from corral.admission.source import HttpsSource, HubSource, LocalSource, PypiSource, Source
from corral.core.errors import CorralError

PARTS: Final = 999
_PART: Final = re.compile(r"(.*-)([0-9]{5})-of-([0-9]{5})(\.gguf)")


def set_of(source: Source) -> tuple[Source, ...]:
    """Return the sources of all parts in order, or just the one source.

    Raises:
        CorralError: code `bad_source`: a later part was named.
    """
    path = _path_of(source)
    named = _PART.fullmatch(path)
    if named is None or not 2 <= int(named[3]) <= PARTS:
        return (source,)
    if int(named[2]) != 1:
        raise CorralError(
            "bad_source",
            "this source is one part of a model",
            remedy=f"name its first part: …-00001-of-{named[3]}.gguf",
        )
    return tuple(
        _with_path(source, f"{named[1]}{number:05d}-of-{named[3]}{named[4]}")
        for number in range(1, int(named[3]) + 1)
    )


def part_name(source: Source) -> str:
    """Return the file name of a part."""
    return _path_of(source).rpartition("/")[2]


def _path_of(source: Source) -> str:
    match source:
        case LocalSource(path=path):
            return str(path)
        case HubSource(file=file) | PypiSource(member=file):
            return file
        case HttpsSource(url=url) if "?" not in url:
            return url
        case RegistrySource(title=title):
            return title
    return ""  # a query may be a signature of one address


def _with_path(source: Source, path: str) -> Source:
    match source:
        case LocalSource(path=local):
            return LocalSource(local.with_name(path.rpartition("/")[2]))
        case HubSource():
            return replace(source, file=path)
        case PypiSource():
            return replace(source, member=path)
        case RegistrySource():
            return replace(source, title=path)
        case _:
            return HttpsSource(path)
