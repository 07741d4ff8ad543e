"""A second opinion on the metadata: the `gguf` library must read what our own parser read.

Trust: scan jail. Input: untrusted file whose counts and lengths `metadata` and `tensors` have
bounded before (the library trusts them: it hangs on an array of 2^63 items). Two readers that
disagree about a file are how a check is tricked, so disagreement is a refusal.

The library spends 20 us on each item of a list, which is seconds for a vocabulary. So it reads the
list's head, and of strings the first few dozen; from there it goes on where our
parser says that the list ends. Everything that two readers could take differently is still read
twice: keys, types, counts, lengths, alignment, tensors. tests/security/hostile_models compares with
the unchanged library.
"""

from __future__ import annotations

import os
import warnings
from typing import Any, Final

import numpy as np
from gguf import GGUFReader, GGUFValueType

from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.metadata import Metadata
from corral.admission.scan.tensors import Tensor

_STRINGS: Final = 64
"""So many strings of a list are read by the library too."""


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
    """The library's reader without views of tensor data and of each item of a list."""

    def __init__(self, source: Any, spans: dict[int, tuple[int, int, int]]) -> None:
        self._spans = spans
        self.lists: dict[int, tuple[int, int, int]] = {}
        super().__init__(source)

    def _get(self, *place: Any, **how: Any) -> Any:
        # A view of a mapped file is ten times as slow to cut as one of an array, and the same.
        self.data: Any = np.asarray(self.data)
        return super()._get(*place, **how)

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], Any, Any]:
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        kind, count = self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)
        begin = orig_offs + 12
        end = self._end_of(begin, GGUFValueType(kind[0]), int(count[0]))
        self.lists[begin] = (int(kind[0]), int(count[0]), end)
        return end - orig_offs, [kind, count], [], [GGUFValueType.ARRAY]

    def _end_of(self, begin: int, kind: GGUFValueType, count: int) -> int:
        if kind != GGUFValueType.STRING:
            return begin + count * np.dtype(self.gguf_scalar_to_np[kind]).itemsize
        at = begin
        for _ in range(min(count, _STRINGS)):
            length, _text = self._get_str(at)
            at += 8 + int(length[0])
        return at if count <= _STRINGS else self._spans[begin][2]

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
            reader = _DescriptionReader(_MetadataFile(fd, metadata_bytes), metadata.spans)
    except Exception as error:  # any way in which the library fails is a refusal
        raise ScanRefusal("reader_disagrees", "the gguf library cannot read the file") from error
    keys = {key for key in reader.fields if not key.startswith("GGUF.")}
    described = [(t.name.encode(), t.shape) for t in tensors]
    same = keys == set(metadata.values) and reader.lists == metadata.spans
    if not same or reader.described != described:
        raise ScanRefusal("reader_disagrees", "two readers see different things in the file")
