"""Defaults that a file sets for whoever runs it: sampling, attention, the chat template's absence.

Trust: scan jail. Input: untrusted values of sound structure.
"""

from __future__ import annotations

from corral.admission.report import Finding
from corral.admission.scan.values import Values


def check_defaults(values: Values) -> tuple[Finding, ...]:
    """Return what is noticed about the file's defaults."""
    found: list[Finding] = []
    if "tokenizer.chat_template" not in values and "tokenizer.ggml.tokens" in values:
        found.append(Finding("no_chat_template", "info", "the model brings no chat template"))
    for key in values:
        if key.startswith("general.sampling."):
            # Measured: a negative repeat penalty here ends the engine by an uncaught exception.
            message = "the file sets sampling defaults, which the engine applies unchecked"
            found.append(Finding("sampling_defaults", "reject", message, key[:160]))
            break
    found += [
        Finding("causal_attn", "flag", "the model is not a causal one")
        for key in values
        if key.endswith(".attention.causal") and not values.flag(key, default=True)
    ]
    return tuple(found)
