"""The catalogue of rules: what each code of a finding means, why it matters, how to mend it.

Trust: operator side; package data (`rules.toml`), no other input.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from corral.admission.report import Severity

Area = Literal[
    "header",
    "metadata",
    "tensors",
    "hyperparameters",
    "tokenizer",
    "parts",
    "additions",
    "formats",
    "template",
    "scan",
]

_GGUF: Final = "https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"
_ADDRESSES: Final = (
    (re.compile(r"(CVE-\d{4}-\d{4,})\b"), r"https://www.cve.org/CVERecord?id=\1"),
    (re.compile(r"(GHSA(?:-[0-9a-z]{4}){3})\b"), r"https://github.com/advisories/\1"),
    (re.compile(r"(PYSEC-\d{4}-\d+)\b"), r"https://osv.dev/vulnerability/\1"),
    (re.compile(r"CWE-(\d+)\b"), r"https://cwe.mitre.org/data/definitions/\1.html"),
    (re.compile(r"llama\.cpp #(\d+)\b"), r"https://github.com/ggml-org/llama.cpp/issues/\1"),
    (
        re.compile(r"antirez/gguf-tools #(\d+)\b"),
        r"https://github.com/antirez/gguf-tools/issues/\1",
    ),
    (re.compile(r"GGUF specification: "), _GGUF),
)
"""Where a reference of some form is found."""

_Line = Annotated[str, Meta(min_length=1, max_length=400, pattern=r"\A[^\n]+\Z")]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule.

    Attributes:
        id: code of its findings.
        area: part of the file, or of the admission, that it is about.
        severity: the most severe that a finding of it has.
        why: what happens where nobody looks.
        mend: what to do about it.
        references: advisories, sections of the specification, issues, research.
    """

    id: Annotated[str, Meta(pattern=r"\A[a-z0-9_]{1,48}\Z")]
    area: Area
    severity: Severity
    title: Annotated[str, Meta(min_length=1, max_length=80)]
    why: _Line
    mend: _Line
    references: Annotated[tuple[_Line, ...], Meta(min_length=1)]


@cache
def rules() -> Mapping[str, Rule]:
    """Return all rules by id, in the catalogue's order."""
    text = (resources.files("corral.admission") / "rules.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    found = {name: msgspec.convert({"id": name, **table}, Rule) for name, table in tables.items()}
    return MappingProxyType(found)


def reference_address(reference: str) -> str:
    """Return where a reference is found on the web; empty if nowhere."""
    for form, address in _ADDRESSES:
        if match := form.match(reference):
            return match.expand(address)
    return ""
