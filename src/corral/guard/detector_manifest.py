"""What a detector is: one folder with a classifier, its tokenizer, and what they are held to.

Trust: guard jail and operator side. Input: `detector.toml` of an operator's folder, at most 16 KiB;
every name and number in it is checked. A folder has these three files and is otherwise ignored:

    detector.toml    this; with the SHA-256 of the other two
    model.onnx       inputs `input_ids` and `attention_mask`; logits of (batch, labels) or (batch)
    tokenizer.json   as the library `tokenizers` reads it
"""

from __future__ import annotations

import tomllib
from typing import Annotated, Final, Literal

import msgspec

from corral.core.errors import CorralError

MANIFEST: Final = "detector.toml"
MODEL: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
MANIFEST_BYTES: Final = 16 * 1024
MODEL_BYTES: Final = 1 << 30
TOKENIZER_BYTES: Final = 64 << 20

_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One detector.

    Attributes:
        name: shown; letters, digits, dots and dashes.
        model, tokenizer: SHA-256 of the files.
        window_tokens: what the classifier reads at once, its marks included.
        overlap_tokens: how much of a window is in the next one too.
        first, last: ids of the marks around a window, such as [CLS] and [SEP]; none if absent.
        form: Unicode's form that texts are put into before; the classifier was trained on it.
        output: how logits become probabilities.
        attack: `softmax`: which label is the attack.
        heads: `sigmoid`: weight of each logit; more than one where a classifier has several heads.
        temperature: what logits are divided by.
        flag, block: probabilities from which a text is suspected, and detected.
        alarms: strings that must be at least `flag`, and `calm` ones that must be below it, or
            the detector does not start.
    """

    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9.-]{1,64}$")]
    model: _Digest
    tokenizer: _Digest
    window_tokens: Annotated[int, msgspec.Meta(ge=16, le=4096)] = 256
    overlap_tokens: Annotated[int, msgspec.Meta(ge=0, le=2048)] = 64
    first: Annotated[int, msgspec.Meta(ge=0)] | None = None
    last: Annotated[int, msgspec.Meta(ge=0)] | None = None
    form: Literal["", "NFC", "NFKC"] = ""
    output: Literal["sigmoid", "softmax"] = "softmax"
    attack: Annotated[int, msgspec.Meta(ge=0, le=64)] = 1
    heads: Annotated[tuple[float, ...], msgspec.Meta(min_length=1, max_length=16)] = (1.0,)
    temperature: Annotated[float, msgspec.Meta(gt=0, le=100)] = 1.0
    flag: _Share = 0.5
    block: _Share = 0.9
    alarms: Annotated[tuple[str, ...], msgspec.Meta(min_length=3, max_length=64)]
    calm: Annotated[tuple[str, ...], msgspec.Meta(min_length=3, max_length=64)]

    def __post_init__(self) -> None:
        """Check what the types do not say.

        Raises:
            ValueError: two fields contradict each other.
        """
        if self.flag > self.block:
            raise ValueError("flag is above block")
        if self.overlap_tokens > self.window_tokens // 2:
            raise ValueError("overlap_tokens is more than half of window_tokens")


def parse_manifest(data: bytes) -> Manifest:
    """Return a manifest.

    Raises:
        CorralError: code `detector_invalid`.
    """
    try:
        return msgspec.convert(tomllib.loads(data.decode()), Manifest)
    except (ValueError, RecursionError) as error:
        raise CorralError(
            "detector_invalid", f"{MANIFEST} cannot be used: {error}",
            remedy="docs/sanitation.md says what a detector's folder has",
        ) from error  # fmt: skip


def windows(tokens: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Return spans that cover so many tokens, each as long as the others and at most `size`.

    Two neighbours share at least `overlap`, so what is no longer than that is whole in one of them.
    """
    if tokens <= size:
        return [(0, tokens)]
    count = -(-(tokens - overlap) // (size - overlap))
    width = -(-(tokens + (count - 1) * overlap) // count)
    starts = [round(n * (tokens - width) / (count - 1)) for n in range(count)]
    return [(start, start + width) for start in starts]
