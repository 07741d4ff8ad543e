"""A second opinion on the metadata: the `gguf` library must read what our own parser read.

Trust: scan jail. Input: untrusted file whose counts and lengths `metadata` and `tensors` have
bounded before (the library trusts them: it hangs on an array of 2^63 items). Two readers that
disagree about a file are how a check is tricked, so disagreement is a refusal.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from gguf import GGUFReader

from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.metadata import Metadata
from corral.admission.scan.tensors import Tensor


class _MetadataFile:
    """The part of a file before its tensor data, in the shape `numpy.memmap` wants.

    Mapping only this part keeps the address space small, whatever the model's size.
    """

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._fd = fd
        self._size_bytes = size_bytes
        self.name = None

    def fileno(self) -> int:
        return self._fd

    def read(self, count: int = -1) -> bytes:
        return os.pread(self._fd, max(count, 0), 0)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._size_bytes

    def tell(self) -> int:
        return self._size_bytes


class _DescriptionReader(GGUFReader):
    """The library's reader without views of tensor data; `tensors` has checked their place."""

    def _build_tensors(self, start_offs: int, fields: list[Any]) -> None:
        self.described = [(bytes(f.parts[1]), tuple(int(d) for d in f.parts[3])) for f in fields]


def check_with_library(
    fd: int, metadata_bytes: int, metadata: Metadata, tensors: tuple[Tensor, ...]
) -> None:
    """Read the file again with the `gguf` library and compare.

    Raises:
        ScanRefusal: code `reader_disagrees`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            source: Any = _MetadataFile(fd, metadata_bytes)
            reader = _DescriptionReader(source)
    except Exception as error:  # any way in which the library fails is a refusal
        raise ScanRefusal("reader_disagrees", "the gguf library cannot read the file") from error
    keys = {key for key in reader.fields if not key.startswith("GGUF.")}
    described = [(t.name.encode(), t.shape) for t in tensors]
    if keys != set(metadata.values) or reader.described != described:
        raise ScanRefusal("reader_disagrees", "two readers see different things in the file")
