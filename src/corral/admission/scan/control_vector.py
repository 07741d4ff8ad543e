"""Control vectors: one direction for each of some layers.

Trust: scan jail. Input: untrusted values and names, already well formed. llama.cpp indexes by the
number in a tensor's name, which overflows for a large one (research/artifacts.md, section 1c).
"""

from __future__ import annotations

import re
from typing import Final

from corral.admission.scan.base import Base
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.values import Values

_NAME: Final = re.compile(r"direction\.([1-9][0-9]{0,9})")
_LAYERS: Final = 512


def check_control_vector(
    values: Values, tensors: tuple[Tensor, ...], base: Base | None = None
) -> None:
    """Hold a control vector against itself, and against its base where given.

    Raises:
        ScanRefusal: codes `cvector_layer`, `tensor_unexpected`, `tensor_shape`, `architecture`.
    """
    hint = values.text("controlvector.model_hint", "")
    layers = values.integer("controlvector.layer_count", "cvector_layer", 1, _LAYERS, _LAYERS)
    width = tensors[0].shape
    if base is not None:
        # The engine writes at the layer's number, which it does not hold against the model.
        layers = min(layers, base.sizes.layers)
        if width != (base.sizes.width,):
            raise ScanRefusal("tensor_shape", "a direction is not as wide as the base")
        if hint not in {"", base.sizes.architecture}:
            raise ScanRefusal("architecture", "the base is of another architecture", hint.encode())
    for tensor in tensors:
        match = _NAME.fullmatch(tensor.name)
        if match is None:
            code = "cvector_layer" if tensor.name.startswith("direction.") else "tensor_unexpected"
            raise ScanRefusal(code, "a tensor is no direction of a layer", tensor.name.encode())
        if int(match[1]) > layers:
            raise ScanRefusal("cvector_layer", "there is no such layer", tensor.name.encode())
        if len(tensor.shape) != 1 or tensor.shape != width or tensor.kind != "F32":
            raise ScanRefusal("tensor_shape", "a direction has a wrong shape", tensor.name.encode())
