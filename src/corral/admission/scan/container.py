"""One GGUF file whose structure is sound.

Trust: scan jail. Input: untrusted file.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from corral.admission.scan.cursor import Cursor, ScanRefusal
from corral.admission.scan.facts import check_floats
from corral.admission.scan.library import check_with_library
from corral.admission.scan.metadata import Metadata, parse_metadata
from corral.admission.scan.tensors import Tensor, parse_tensors
from corral.admission.scan.values import Values


@dataclass(frozen=True, slots=True)
class Container:
    """What stands in a file, before anybody asks what it is for.

    Attributes:
        metadata_bytes: where the tensor descriptions end.
    """

    fd: int
    metadata: Metadata
    tensors: tuple[Tensor, ...]
    metadata_bytes: int

    @property
    def values(self) -> Values:
        """The key-value pairs, for typed look-ups."""
        return Values(self.metadata.values)


def parse_container(fd: int) -> Container:
    """Read header, key-value pairs and tensor descriptions of an open file.

    Raises:
        ScanRefusal: the first rule of structure that the file breaks.
    """
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise ScanRefusal("not_a_file", "the candidate is not a regular file")
    cursor = Cursor(fd)
    try:
        metadata = parse_metadata(cursor)
        tensors = parse_tensors(cursor, metadata)
    except ScanRefusal as refusal:
        if refusal.place is None:
            refusal.place = (cursor.item, cursor.offset - cursor.item)
        raise
    check_floats(metadata)
    check_with_library(fd, cursor.offset, metadata, tensors)
    return Container(fd, metadata, tensors, cursor.offset)
