"""Models in several files: what one part says of the whole.

Trust: scan jail. Input: untrusted values of sound structure. Engines derive the other parts' names
from the first one's and abort on a number of another type (llama.cpp reads `split.no` with an
assertion); a part alone is no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.values import Values

_UINT16, _INT32 = 2, 5
_TYPES: Final = {"split.no": _UINT16, "split.count": _UINT16, "split.tensors.count": _INT32}
_PARTS: Final = 999


@dataclass(frozen=True, slots=True)
class Part:
    """One file's place in a set.

    Attributes:
        number: from 0.
        count: files of the set.
        tensors: tensors of the whole set.
    """

    number: int
    count: int
    tensors: int


def read_part(values: Values) -> Part | None:
    """Return the file's place in its set, or None where it is whole.

    Raises:
        ScanRefusal: code `split`.
    """
    there = [name for name in _TYPES if name in values]
    if not there:
        return None
    for name, kind in _TYPES.items():
        if name not in values or values.value(name).is_array or values.value(name).kind != kind:
            raise ScanRefusal("split", "the file's place in its set is not said as it must be")
    count = values.integer("split.count", "split", 0, _PARTS)
    number = values.integer("split.no", "split", 0, max(count - 1, 0))
    tensors = values.integer("split.tensors.count", "split", 0, 1 << 20)
    return Part(number, count, tensors) if count > 1 else None
