"""Models in several files: what one part says of the whole, and whether the parts are one.

Trust: scan jail. Input: untrusted values and names of sound structure. Engines derive the other
parts' names from the first one's and abort on a number of another type (llama.cpp reads `split.no`
with an assertion); they ignore the metadata of later parts, which merging tools do not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from corral.admission.scan.container import Container
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.values import Values

_UINT16, _INT32 = 2, 5
_TYPES: Final = {"split.no": _UINT16, "split.count": _UINT16, "split.tensors.count": _INT32}
SPLIT_KEYS: Final = frozenset(_TYPES)
_PARTS: Final = 999
_NAME: Final = re.compile(r"([^/\x00-\x1f]+)-(\d{5})-of-(\d{5})\.gguf")


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


def order_parts(files: Sequence[tuple[str, Container]]) -> tuple[Container, ...]:
    """Return the parts in their order, if they are one whole set.

    Args:
        files: name and content of each part, in any order.

    Raises:
        ScanRefusal: codes `split`, `split_metadata`, `tensor_duplicate`.
    """
    ordered: dict[int, Container] = {}
    prefixes: set[str] = set()
    totals: set[int] = set()
    for name, container in files:
        part = read_part(container.values)
        if part is None or part.count != len(files):
            raise ScanRefusal("split", "the set has not as many parts as it says", name.encode())
        if part.number in ordered:
            raise ScanRefusal("split", "two files are the same part", name.encode())
        named = _NAME.fullmatch(name)
        if named is None or (int(named[2]), int(named[3])) != (part.number + 1, part.count):
            # Engines find parts by name: what they load must be what was looked at.
            raise ScanRefusal("split", "a part is not called by its place", name.encode())
        prefixes.add(named[1])
        totals.add(part.tensors)
        ordered[part.number] = container
    if len(prefixes) > 1:
        raise ScanRefusal("split", "the parts are not of one name")
    parts = tuple(ordered[number] for number in range(len(ordered)))
    _check_tensors(parts, totals)
    for container in parts[1:]:
        for key in container.metadata.values:
            if key not in _TYPES:
                message = "a later part has metadata, which engines do not read"
                raise ScanRefusal("split_metadata", message, key.encode())
    return parts


def tensors_of(parts: Sequence[Container]) -> tuple[Tensor, ...]:
    """Return the tensors of all parts."""
    return tuple(tensor for part in parts for tensor in part.tensors)


def _check_tensors(parts: Sequence[Container], totals: set[int]) -> None:
    names: set[str] = set()
    for tensor in tensors_of(parts):
        if tensor.name in names:
            raise ScanRefusal("tensor_duplicate", "two parts have one tensor", tensor.name.encode())
        names.add(tensor.name)
    if totals != {len(names)}:
        raise ScanRefusal("split", "the parts have not as many tensors as they say")
