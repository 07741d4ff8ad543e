"""A classifier of texts: ONNX model and tokenizer of one folder, on one thread.

Trust: guard jail, and nowhere else: the libraries are memory-unsafe and the model is a stranger's.
Input: hostile texts, a folder that the operator chose. No text is kept, printed or logged.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from corral.core.errors import CorralError
from corral.guard.detector_manifest import (
    MANIFEST,
    MANIFEST_BYTES,
    MODEL,
    MODEL_BYTES,
    TOKENIZER,
    TOKENIZER_BYTES,
    parse_manifest,
    windows,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH: Final = 8
"""Windows that are computed together; attention takes memory for each."""


class Classifier:
    """A detector that is loaded.

    Attributes:
        manifest: what it is held to.
    """

    def __init__(self, folder: Path) -> None:
        """Load it.

        Raises:
            CorralError: code `detector_invalid`: a file is missing, is not the one whose hash the
                manifest has, or is none that the libraries take.
        """
        self.manifest = parse_manifest(_read(folder / MANIFEST, MANIFEST_BYTES))
        model = _pinned(folder / MODEL, MODEL_BYTES, self.manifest.model)
        tokenizer = _pinned(folder / TOKENIZER, TOKENIZER_BYTES, self.manifest.tokenizer)
        try:
            self._session = _session(model)
            self._names = {one.name for one in self._session.get_inputs()}
            self._tokenizer = _tokenizer(tokenizer)
        except Exception as error:  # the libraries raise what they like, with texts of the files
            raise _invalid("the libraries cannot load it") from error

    def score(self, texts: Iterable[str]) -> list[float]:
        """Return for each text the highest probability of an attack among its windows."""
        manifest = self.manifest
        spans: list[tuple[int, Sequence[int]]] = []
        count = 0
        marks = (manifest.first is not None) + (manifest.last is not None)
        for number, text in enumerate(texts):
            count += 1
            ids = self._ids(text)
            for start, end in windows(
                len(ids), manifest.window_tokens - marks, manifest.overlap_tokens
            ):
                spans.append((number, self._marked(ids[start:end])))
        best = [0.0] * count
        spans.sort(key=lambda span: len(span[1]))  # what is of a length costs no padding together
        for at in range(0, len(spans), _BATCH):
            batch = spans[at : at + _BATCH]
            found = self._probabilities([ids for _, ids in batch])
            for (number, _), probability in zip(batch, found, strict=True):
                best[number] = max(best[number], probability)
        return best

    def checked(self) -> bool:
        """Return whether it tells the manifest's alarms from what is calm, each of them."""
        manifest = self.manifest
        alarms, calm = self.score(manifest.alarms), self.score(manifest.calm)
        return min(alarms) >= manifest.flag > max(calm)

    def _ids(self, text: str) -> list[int]:
        if self.manifest.form:
            text = unicodedata.normalize(self.manifest.form, text)
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _marked(self, ids: Sequence[int]) -> list[int]:
        first, last = self.manifest.first, self.manifest.last
        return [
            *([] if first is None else [first]), *ids, *([] if last is None else [last])
        ]  # fmt: skip

    def _probabilities(self, batch: Sequence[Sequence[int]]) -> list[float]:
        import numpy as np

        width = max(1, *map(len, batch))
        ids = np.zeros((len(batch), width), dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for row, one in enumerate(batch):
            ids[row, : len(one)] = one
            mask[row, : len(one)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        logits = self._session.run(None, {n: v for n, v in given.items() if n in self._names})[0]
        return [float(value) for value in self._attack(np.asarray(logits, dtype=np.float64))]

    def _attack(self, logits: NDArray[Any]) -> NDArray[Any]:
        import numpy as np

        logits = np.clip(logits.reshape(len(logits), -1) / self.manifest.temperature, -60, 60)
        if self.manifest.output == "sigmoid":
            heads = self.manifest.heads
            found = 1 / (1 + np.exp(-(logits[:, : len(heads)] @ np.asarray(heads))))
        else:
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            found = powers[:, self.manifest.attack] / powers.sum(axis=1)
        # What is no number is no all-clear.
        return np.where(np.isfinite(found), found, 1.0)


def _session(model: bytes) -> Any:
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # it would have nobody to tell here
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _tokenizer(data: bytes) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(data)
    tokenizer.no_padding()
    tokenizer.no_truncation()  # a library's own cut would leave the rest unseen
    return tokenizer


def _pinned(path: Path, most: int, digest: str) -> bytes:
    data = _read(path, most)
    if hashlib.sha256(data).hexdigest() != digest:
        raise _invalid(f"{path.name} is not the file whose hash the manifest has")
    return data


def _read(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise _invalid(f"{path.name} is longer than {most} bytes")
        return path.read_bytes()
    except OSError as error:
        raise _invalid(f"{path.name} cannot be read") from error


def _invalid(why: str) -> CorralError:
    return CorralError("detector_invalid", f"the detector cannot be used: {why}")
