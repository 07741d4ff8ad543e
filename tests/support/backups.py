"""Backups that are locked to a key of the test's, and what is in them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from pyrage.x25519 import Identity

from corral.backup.contents import is_content
from corral.backup.lockbox import open_stream
from corral.core.errors import CorralError

IDENTITY = Identity.generate()
LOCK, OPENER = [IDENTITY.to_public()], [IDENTITY]


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode)
        for path in root.rglob("*") if path.is_file() and is_content(str(path.relative_to(root)))
    }  # fmt: skip


def plain_of(backup: Path) -> bytes:
    plain = io.BytesIO()
    with backup.open("rb") as file:
        open_stream(file, plain, OPENER)
    return plain.getvalue()


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(CorralError) as error:
        call()
    return error.value.code
