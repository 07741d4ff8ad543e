"""Which metadata keys a file of an architecture may have, and what a key must not carry.

Trust: scan jail. Input: untrusted values of sound structure. The known keys come from the `gguf`
library; a key that nobody reads is a place to hide things in, so it is noted, and flagged where it
carries more than a word.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from gguf.constants import Keys

from corral.admission.report import Finding
from corral.admission.scan.metadata import STRING, Value
from corral.admission.scan.values import Values

_BYTES: Final = frozenset({0, 1})
_WORD: Final = 256
_HOLES: Final = re.compile(r"\\\{(\w+)\\\}")
_MORE: Final = re.compile(
    r"general\.[a-z0-9_.]{1,64}|quantize\.imatrix\.[a-z_]{1,32}|tokenizer\.ggml\.[a-z0-9_.]{1,64}"
    r"|controlvector\.[a-z_]{1,32}|clip\.[a-z0-9_.]{1,64}|split\.(?:no|count|tensors\.count)"
)
"""Written by converters and quantisers, beyond what the library names."""
_CHARSMAP: Final = "tokenizer.ggml.precompiled_charsmap"
_TEMPLATE: Final = "tokenizer.chat_template"
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
    "\U000e0000-\U000e007f]"
)
"""Controls, zero-width and direction marks, tags; joiners are part of scripts and emoji."""
_TEXT_MAGICS: Final = (b"\x7fELF", b"PK\x03\x04", b"#!/", b"<script", b"<?php", b"%PDF-")
_MAGICS: Final = (
    *_TEXT_MAGICS, b"MZ", b"\x80\x04", b"\x80\x02", b"\xca\xfe\xba\xbe", b"\x1f\x8b\x08", b"GGUF",
)  # fmt: skip


def check_keys(values: Values) -> tuple[Finding, ...]:
    """Return what is noticed about keys: each unknown one, and any that carries a program."""
    arch = values.text("general.architecture", "")
    found: list[Finding] = []
    for key in values:
        value = values.value(key)
        if _is_payload(value):
            message = "a value begins as a program or an archive does"
            found.append(Finding("embedded_payload", "flag", message, key[:160]))
        elif value.is_array and value.kind in _BYTES and key != _CHARSMAP:
            message = "a value is a list of bytes, which no engine reads"
            found.append(Finding("embedded_payload", "flag", message, key[:160]))
        if _hides_characters(key, value):
            message = "a text has control characters, or such that turn or hide what is shown"
            found.append(Finding("string_hidden", "flag", message, key[:160]))
        if not _is_known(key, arch):
            large = value.is_array or (value.kind == STRING and len(str(value.items[0])) > _WORD)
            message = "no engine reads this key"
            found.append(Finding("unknown_key", "flag" if large else "info", message, key[:160]))
    return tuple(found)


def _hides_characters(key: str, value: Value) -> bool:
    # Chat templates are looked at by rules of their own.
    if value.is_array or value.kind != STRING or key.startswith(_TEMPLATE):
        return False
    return _HIDDEN.search(str(value.items[0])) is not None


def _is_payload(value: Value) -> bool:
    if value.kind == STRING:
        return any(str(item).encode()[:16].startswith(_TEXT_MAGICS) for item in value.items[:1])
    if value.is_array and value.kind in _BYTES:
        return bytes(int(item) & 255 for item in value.items[:16]).startswith(_MAGICS)
    return False


def _is_known(key: str, arch: str) -> bool:
    general, dot, rest = key.partition(".")
    if arch and general == arch and dot:
        key = "{arch}." + rest
    return any(pattern.fullmatch(key) for pattern in _patterns())


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    named = {
        _HOLES.sub(lambda m: re.escape("{arch}") if m[1] == "arch" else r"[A-Za-z0-9_]+", one)
        for one in map(re.escape, _texts(Keys))
    }
    # The library does not list every size of every architecture; a size is a number.
    return (
        *(re.compile(one) for one in sorted(named)),
        _MORE,
        re.compile(r"\{arch\}\.[a-z0-9_.]+"),
    )


def _texts(place: Any) -> Iterator[str]:
    for name, one in vars(place).items():
        if name.startswith("_"):
            continue
        if inspect.isclass(one):
            yield from _texts(one)
        elif isinstance(one, str):
            yield one
