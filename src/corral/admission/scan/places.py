"""Where in a file the evidence of a finding stands.

Trust: scan jail. Input: names that were read from an untrusted file, and places of this side's own
counting: nothing of the file decides where a finding points to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from corral.admission.report import TEMPLATE_CODES, Finding
from corral.admission.scan.container import Container
from corral.admission.scan.cursor import ScanRefusal
from corral.admission.scan.given_template import GIVEN

_TOKENS: Final = "tokenizer.ggml.tokens"
_TEMPLATE: Final = "tokenizer.chat_template"
_KEY_OF: Final = {
    "token_length": _TOKENS,
    "token_byte_syntax": _TOKENS,
    "token_duplicate": _TOKENS,
    "token_types": _TOKENS,
    "control_tokens": _TOKENS,
    "control_token_type": _TOKENS,
    "vocab_size": _TOKENS,
    "tokenizer_model": "tokenizer.ggml.model",
    "tokenizer_pre": "tokenizer.ggml.pre",
    "merges": "tokenizer.ggml.merges",
    "charsmap": "tokenizer.ggml.precompiled_charsmap",
    "artifact_type": "general.type",
}
"""Findings that quote a value in place of its key, or name nothing."""
_ELSEWHERE: Final = frozenset({"base_refused", "base_unknown"})
"""Findings about another file."""
_OF_DATA: Final = frozenset({"weights_nonfinite"})
"""Findings about a tensor's data, not its description."""


def placed(findings: Iterable[Finding], container: Container | None) -> tuple[Finding, ...]:
    """Return the findings with offset and length of the pair, description or data they name.

    A finding that has its place already keeps it; one that names nothing of the file gets none.

    Args:
        findings: of one file.
        container: what stands in that file; None where it could not be read.
    """
    return tuple(_placed(finding, container) for finding in findings)


def refused(refusal: ScanRefusal, where: str, container: Container | None) -> Finding:
    """Return the finding of a refusal with its place.

    Args:
        refusal: what ended the scan.
        where: its name, escaped.
        container: see `placed`.
    """
    offset, length = refusal.place or (None, 0)
    return _placed(
        Finding(refusal.code, "reject", refusal.message, where, offset, length), container
    )


def _placed(finding: Finding, container: Container | None) -> Finding:
    if container is None or finding.offset is not None:
        return finding
    found = _place(finding, container)
    if found is None:
        return finding
    return msgspec.structs.replace(finding, offset=found[0], length=found[1])


def _place(finding: Finding, container: Container) -> tuple[int, int] | None:
    if finding.code in _ELSEWHERE or finding.where.startswith(GIVEN):
        return None
    name = finding.where
    pairs = container.metadata.places
    if finding.code.startswith(TEMPLATE_CODES):
        key = name.partition(":")[0]
        return pairs.get(key) or pairs.get(_TEMPLATE)
    if finding.code in _KEY_OF:
        return pairs.get(_KEY_OF[finding.code])
    for tensor in container.tensors:
        if tensor.name == name:
            data = finding.code in _OF_DATA
            return (tensor.offset, tensor.size_bytes) if data else tensor.described
    return pairs.get(name)
