"""The model that another file is for: base of an adapter or the like, or target of a draft.

Trust: scan jail. Input: untrusted file, even where it was admitted before: it is read by the same
rules as any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from corral.admission.report import Kind
from corral.admission.scan.artifact import artifact_kind
from corral.admission.scan.container import parse_container
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.hyperparameters import Hyperparameters, read_hyperparameters
from corral.admission.scan.request import Companion
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.tokenizer import Vocabulary, read_vocabulary
from corral.admission.scan.values import Values

_FITTING: Final = {"model": "target", "adapter": "base", "projector": "base",
                   "control_vector": "base"}  # fmt: skip
"""What a model beside can be to each kind of file."""


@dataclass(frozen=True, slots=True)
class Base:
    """What other files are held against."""

    values: Values
    tensors: dict[str, Tensor]
    sizes: Hyperparameters
    vocabulary: Vocabulary


def read_base(fd: int, companion: Companion, kind: Kind) -> Base | None:
    """Return the model beside a file of some kind, or None where none was given.

    Raises:
        ScanRefusal: codes `base_refused`, `artifact_type`.
    """
    if not companion:
        return None
    if _FITTING[kind] != companion:
        raise ScanRefusal("artifact_type", "a file of this kind has no such model beside it")
    try:
        container = parse_container(fd)
        values = container.values
        artifact_kind(values, container.tensors)
        sizes, vocabulary = read_hyperparameters(values), read_vocabulary(values)
    except ScanRefusal as refusal:
        message = f"the model that the file is for is refused itself ({refusal.code})"
        raise ScanRefusal("base_refused", message, refusal.where) from refusal
    return Base(values, {tensor.name: tensor for tensor in container.tensors}, sizes, vocabulary)
