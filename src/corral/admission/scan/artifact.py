"""What kind of artifact a GGUF file is: a model, an adapter, a projector, or none that is served.

Trust: scan jail. Input: untrusted values of sound structure. Engines decide this by where the file
was named on the command line; corral decides it by the file, and refuses one that contradicts
itself: a calibration file or an adapter must not be loaded as a model.
"""

from __future__ import annotations

from typing import Final

from corral.admission.report import Kind
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.values import Values

_BY_TYPE: Final[dict[str, Kind]] = {
    "model": "model", "adapter": "adapter", "mmproj": "projector",
    "control_vector": "control_vector",
}  # fmt: skip


def artifact_kind(values: Values, tensors: tuple[Tensor, ...]) -> Kind:
    """Return what the file is.

    Raises:
        ScanRefusal: codes `not_a_model`, `artifact_type`.
    """
    if "general.architecture" not in values:
        raise ScanRefusal("not_a_model", "the file has no architecture or no tensors")
    architecture = values.text("general.architecture", "")
    looks: Kind = "model"
    if architecture == "clip":
        looks = "projector"
    elif architecture == "controlvector":
        looks = "control_vector"
    elif any(key.startswith("adapter.") for key in values) or any(
        tensor.name.endswith((".lora_a", ".lora_b")) for tensor in tensors
    ):
        looks = "adapter"
    # Projectors and control vectors of before general.type existed are told by their architecture.
    default = "model" if looks == "adapter" else _name_of(looks)
    named = values.text("general.type", default)
    if _BY_TYPE.get(named) != looks:
        raise ScanRefusal("artifact_type", "the file is not of the kind it says", named.encode())
    if looks != "projector" and not tensors:
        raise ScanRefusal("not_a_model", "the file has no architecture or no tensors")
    return looks


def _name_of(kind: Kind) -> str:
    return next(name for name, one in _BY_TYPE.items() if one == kind)
