"""The catalogue of rules: read once, typed, with addresses of its references."""

from __future__ import annotations

import msgspec
import pytest

from corral.admission.rules import Rule, reference_address, rules


def test_rules_are_read_and_cannot_be_changed() -> None:
    rule = rules()["nbytes_overflow"]
    assert (rule.id, rule.severity, rule.area) == ("nbytes_overflow", "reject", "tensors")
    assert "CVE-2026-33298" in rule.references
    with pytest.raises(TypeError):
        rules()["magic"] = rule  # type: ignore[index]
    with pytest.raises(AttributeError):
        rule.title = "other"  # type: ignore[misc]


def test_texts_are_plain_sentences() -> None:
    for rule in rules().values():
        for text in (rule.title, rule.why, rule.mend, *rule.references):
            assert text.isprintable(), rule.id
            assert text == text.strip(), rule.id
        assert rule.why.endswith("."), rule.id
        assert rule.mend.endswith("."), rule.id
        assert not rule.title.endswith("."), rule.id
        assert len(set(rule.references)) == len(rule.references), rule.id


def test_a_field_that_is_not_known_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**msgspec.to_builtins(rules()["magic"]), "extra": 1}, Rule)


@pytest.mark.parametrize(
    ("reference", "address"),
    [
        ("CVE-2026-33298", "https://www.cve.org/CVERecord?id=CVE-2026-33298"),
        ("CVE-2024-3660 (Keras)", "https://www.cve.org/CVERecord?id=CVE-2024-3660"),
        ("GHSA-g4cc-763q-h9h6", "https://github.com/advisories/GHSA-g4cc-763q-h9h6"),
        ("PYSEC-2026-387", "https://osv.dev/vulnerability/PYSEC-2026-387"),
        ("CWE-502 (deserialisation)", "https://cwe.mitre.org/data/definitions/502.html"),
        ("llama.cpp #26690", "https://github.com/ggml-org/llama.cpp/issues/26690"),
        ("antirez/gguf-tools #25", "https://github.com/antirez/gguf-tools/issues/25"),
        ("GGUF specification: header", "https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"),
        ("docs/scanner.md", ""),
        ("see CVE-2026-33298", ""),
    ],
)
def test_address(reference: str, address: str) -> None:
    assert reference_address(reference) == address
