"""Whether a file is another one too: to a browser, an archiver, an office or an interpreter.

Trust: media jail. Input: hostile bytes. Where each of these formats may begin is their readers'
custom: PDF within the first kilobyte, ZIP from its end, markup at its start.
"""

from __future__ import annotations

import re
from typing import Final

_HEAD_BYTES: Final = 1024
_ZIP_END_BYTES: Final = 22 + 65535
"""The record that ends a ZIP file, and its comment (APPNOTE.TXT 4.3.16)."""
_ZIP_END: Final = b"PK\x05\x06"
_HEADS: Final = re.compile(rb"%PDF-|%!PS|<\?php|<\?xml|<!doctype|<html|<svg|<script", re.IGNORECASE)
_ANYWHERE: Final = re.compile(rb"<script[\s>]|<\?php\s|<!doctype\s+html|%PDF-\d\.\d", re.IGNORECASE)


def is_polyglot(data: bytes, end: int) -> bool:
    """Say whether other programs would find a file of theirs in this one.

    Args:
        data: the file.
        end: where its own format says that it ends.
    """
    return (
        end < len(data)
        or _HEADS.search(data, 0, _HEAD_BYTES) is not None
        or _ANYWHERE.search(data) is not None
        or _ZIP_END in data[-_ZIP_END_BYTES:]
    )
