"""The form of a template that digests are taken of, and that an engine is given.

Trust: pure functions. Every renderer reads both forms alike: jinja and llama.cpp turn CRLF into LF
and drop one line feed at the end (`keep_trailing_newline` is off).

    1 CR LF becomes LF
    2 one LF at the end is dropped
    3 the digest is SHA-256 over the UTF-8 bytes
"""

from __future__ import annotations

import hashlib
from typing import Final

NORMALISATION: Final = 1
"""Raise it when the form changes: all digests do then."""


def normalised(text: str) -> str:
    """Return a template in its normal form."""
    return text.replace("\r\n", "\n").removesuffix("\n")


def template_digest(text: str) -> str:
    """Return the hexadecimal SHA-256 of a template's normal form."""
    return hashlib.sha256(normalised(text).encode("utf-8", "surrogatepass")).hexdigest()
