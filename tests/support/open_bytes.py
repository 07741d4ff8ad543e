"""Bytes as a file that is open."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def opened(raw: bytes) -> Iterator[int]:
    """Yield a descriptor of a file with these bytes."""
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        yield file.fileno()
