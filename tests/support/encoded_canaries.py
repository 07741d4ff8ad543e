"""Canaries in the encodings in which a text might be kept without being seen at once."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterable, Mapping
from urllib.parse import quote


def encodings_of(canary: str) -> tuple[bytes, ...]:
    """Return what to look for: the canary itself and its encodings, whatever is around it.

    Base64 has three alignments; of each the characters that depend on the canary alone are taken.
    """
    data = canary.encode()
    aligned = []
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data)
        start, end = (0, 2, 3)[before], (before + len(data)) // 3 * 4
        aligned.append(whole[start:end])
    tags = "".join(chr(0xE0000 + ord(one)) for one in canary)
    return (
        data,
        data.lower(),
        canary.encode("utf-16-le"),
        data[::-1],
        data.hex().encode(),
        data.hex().upper().encode(),
        codecs.encode(canary, "rot13").encode(),
        "".join(f"%{one:02X}" for one in data).encode(),
        tags.encode(),
        quote(tags).encode(),
        *aligned,
    )


def encoded_canaries_in(data: bytes, canaries: Iterable[str]) -> set[str]:
    """Return which of some canaries are in some bytes, in whichever encoding."""
    return {one for one, forms in _forms(canaries).items() if any(form in data for form in forms)}


def _forms(canaries: Iterable[str]) -> Mapping[str, tuple[bytes, ...]]:
    return {one: encodings_of(one) for one in canaries}
