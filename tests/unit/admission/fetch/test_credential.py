"""Tokens of the operator: from files of their own, for one host each."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.admission.expectation import Expectation
from corral.admission.fetch.client import fetch_request
from corral.admission.fetch.credential import read_credential
from corral.admission.source import RemoteSource, parse_source
from corral.core.config import Fetch
from corral.core.errors import CorralError


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("hf_abc\n")
    path.chmod(0o600)
    return path


def test_a_token_and_a_password(token: Path) -> None:
    files = (f"huggingface.co={token}", f"reg.example:5000={token}")
    assert read_credential(files, "huggingface.co:443") == "Bearer hf_abc"
    assert read_credential(files, "reg.example:5000") == "Bearer hf_abc"
    token.write_text("me:pw")
    assert read_credential(files, "reg.example:5000") == "Basic bWU6cHc="


@pytest.mark.claim("FET-11")
@pytest.mark.parametrize(
    "place", ["huggingface.co:8443", "x.huggingface.co:443", "co:443", "reg.example:443"]
)
def test_another_host_has_none(token: Path, place: str) -> None:
    files = (f"huggingface.co={token}", f"reg.example:5000={token}")
    assert read_credential(files, place) == ""


@pytest.mark.claim("FET-11")
def test_a_job_gets_the_token_of_the_named_host_only(token: Path) -> None:
    config = Fetch(token_files=(f"huggingface.co={token}", "auth.docker.io=/nowhere"))

    def credentials(text: str) -> dict[str, str]:
        source = parse_source(text)
        assert isinstance(source, RemoteSource)
        return fetch_request(source, config, Expectation()).credentials

    assert credentials("hf://org/repo/m.gguf") == {"huggingface.co:443": "Bearer hf_abc"}
    assert credentials("https://other.example/m.gguf") == {}
    assert credentials("oci://ghcr.io/a/b") == {}


@pytest.mark.claim("FET-11")
def test_a_file_that_is_no_secret(token: Path, tmp_path: Path) -> None:
    def refused(path: str) -> None:
        with pytest.raises(CorralError) as caught:
            read_credential((f"h={path}",), "h:443")
        assert caught.value.code == "token_file"
        assert "hf_abc" not in str(caught.value)

    (tmp_path / "link").symlink_to(token)
    for path in (tmp_path / "link", tmp_path, tmp_path / "none"):
        refused(str(path))
    refused("token")
    for content in ("", "two words", "a\nb", "\x00"):
        token.write_text(content)
        refused(str(token))
    token.write_text("hf_abc")
    token.chmod(0o640)
    refused(str(token))
    token.chmod(0o600)
    assert read_credential((f"h={token}",), "h:443") == "Bearer hf_abc"
