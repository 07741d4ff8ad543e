"""Gather the facts that sizing and sanitising need from a model whose rules have all held.

Trust: scan jail. Input: untrusted values that the other modules have checked: memory limits are
computed from what stands here.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import numpy as np

from corral.admission.report import Facts
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.hyperparameters import Hyperparameters
from corral.admission.scan.memory import memory_shape
from corral.admission.scan.metadata import STRING, Metadata
from corral.admission.scan.tensors import Tensor
from corral.admission.scan.tokenizer import Vocabulary
from corral.admission.scan.values import FLOATS, Values

_LICENCE: Final = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}")


def gather_facts(
    metadata: Metadata,
    sizes: Hyperparameters,
    vocabulary: Vocabulary,
    tensors: tuple[Tensor, ...],
) -> Facts:
    """Return the facts of a language model."""
    kinds: Counter[str] = Counter()
    for tensor in tensors:
        kinds[tensor.kind] += tensor.elements
    return Facts(
        architecture=sizes.architecture,
        context_train_tokens=sizes.context_tokens,
        block_count=sizes.layers,
        embedding_length=sizes.width,
        head_count=max(sizes.heads),
        head_count_kv=max(sizes.heads_kv),
        memory=memory_shape(
            Values(metadata.values), sizes, tensors, vocabulary=len(vocabulary.tokens)
        ),
        parameters=sum(t.elements for t in tensors),
        vocabulary_tokens=len(vocabulary.tokens),
        quantisation=kinds.most_common(1)[0][0],
        has_chat_template="tokenizer.chat_template" in metadata.values,
        control_tokens=vocabulary.control,
        licence=_licence(metadata),
        word_markers=vocabulary.word_markers,
    )


def _licence(metadata: Metadata) -> str:
    """Return the licence's identifier; a sentence, or a value that is no text, is none."""
    value = metadata.values.get("general.license")
    if value is None or value.is_array or value.kind != STRING:
        return ""
    text = str(value.items[0]).strip().lower()
    return text if _LICENCE.fullmatch(text) else ""


def check_floats(metadata: Metadata) -> None:
    """Refuse NaN and infinity in any scalar or list.

    Raises:
        ScanRefusal: code `float_nonfinite`.
    """
    for key, value in metadata.values.items():
        if value.kind in FLOATS and not np.isfinite(np.asarray(value.items)).all():
            place = metadata.places[key]
            message = "a number is not finite"
            raise ScanRefusal("float_nonfinite", message, key.encode(), place=place)
