"""Pulls from registries from end to end, with a registry of ours and with a real one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.admission.expectation import Expectation
from corral.admission.fetch.wire import Arrived, encode
from corral.admission.pull import pull_model
from corral.admission.source import parse_source, source_folder
from corral.core.config import Config, Fetch
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.bare_jobs import bare_jobs
from tests.support.download_server import DownloadServer, download_server
from tests.support.gguf_file import GgufFile
from tests.support.real_registry import RealRegistry, started_registry
from tests.support.registry import OCI, ollama, oras, publish, sha256
from tests.unit.admission.conftest import Pull, Trial

BODY = GgufFile().encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DownloadServer]:
    with download_server() as running:
        (tmp_path / "ca.pem").write_text(running.ca_pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        yield running


def reaching(host: str) -> Config:
    return Config(fetch=Fetch(hosts=(), private_hosts=(host,)))


def test_a_model_of_ollama_is_admitted_with_what_its_manifest_says(
    pull: Pull, home: Home, server: DownloadServer
) -> None:
    digest = publish(server, "me/tiny", ollama(BODY, ("license", b"MIT")), "q4")
    entry = pull(f"ollama://{server.host}/me/tiny:q4", config=reaching(server.host))
    assert (entry.name, entry.digest, entry.trust) == ("tiny-q4", SHA, "untrusted")
    receipt = entry.receipt
    assert (receipt.manifest_sha256, receipt.manifest_sha256_demanded) == (digest, False)
    assert receipt.layers[-1].media_type == "application/vnd.ollama.image.license"
    assert receipt.layers[-1].sha256 == sha256(b"MIT")
    assert {path.name for path in home.quarantine.iterdir()} <= {".lock", ".store-lock", "blobs"}


@pytest.mark.claim("FET-10")
def test_a_pinned_manifest_counts_as_a_pinned_file(pull: Pull, server: DownloadServer) -> None:
    digest = publish(server, "a/tiny", oras("tiny.gguf", BODY))
    config = reaching(server.host)
    entry = pull(f"oci://{server.host}/a/tiny@sha256:{digest}", config=config)
    assert entry.trust == "verified"
    assert entry.receipt.manifest_sha256_demanded
    # Also where the store has the file: the manifest has to name it again.
    with pytest.raises(CorralError) as caught:
        pull(
            f"oci://{server.host}/a/tiny@sha256:{'0' * 64}",
            config=config,
            expect=Expectation(sha256=SHA),
        )
    assert caught.value.code == "not_found"


@pytest.mark.claim("FET-10")
@pytest.mark.parametrize("named", [True, False])
def test_a_fetch_job_cannot_choose_what_a_pinned_manifest_does_not_name(
    home: Home, trial: Trial, model_file: Path, *, named: bool
) -> None:
    """The job writes the true manifest and another model; the control writes the named one."""
    raw = oras("tiny.gguf", BODY if named else BODY + b"x").manifest()
    program = (
        "import sys; folder = sys.argv[1]\n"
        f"open(folder + '/manifest', 'wb').write({raw!r})\n"
        f"open(folder + '/model', 'wb').write(open('{model_file}', 'rb').read())\n"
        f"print({encode(Arrived(len(BODY), SHA, 'https://h/')).decode()!r})"
    )
    source = f"oci://h.example/a/tiny@sha256:{sha256(raw)}"
    folder = source_folder(parse_source(source))  # type: ignore[arg-type]

    def run() -> str:
        with bare_jobs(home, program) as launcher:
            try:
                pull_model(
                    source, home=home, config=Config(), launcher=launcher, trial=trial,
                    expect=Expectation(),
                )  # fmt: skip
            except CorralError as error:
                return error.code
        return ""

    # The scan is run by the same program here, and says nothing of use: further than this
    # the control cannot come.
    assert run() == ("scan_failed" if named else "hash_mismatch")
    assert not (home.quarantine / folder).exists()


def test_a_fetch_job_without_a_manifest(home: Home, trial: Trial, model_file: Path) -> None:
    program = (
        "import sys\n"
        f"open(sys.argv[1] + '/model', 'wb').write(open('{model_file}', 'rb').read())\n"
        f"print({encode(Arrived(len(BODY), SHA, 'https://h/')).decode()!r})"
    )
    with bare_jobs(home, program) as launcher, pytest.raises(CorralError) as caught:
        pull_model(
            "oci://h.example/a/tiny", home=home, config=Config(), launcher=launcher, trial=trial,
            expect=Expectation(),
        )  # fmt: skip
    assert caught.value.code == "fetch_failed"


@pytest.fixture
def real_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealRegistry]:
    with started_registry(tmp_path) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.ca))
        yield running


def test_a_real_registry(real_registry: RealRegistry, pull: Pull) -> None:
    image = oras("tiny.gguf", BODY)
    assert image.media_type == OCI
    digest = real_registry.push("lab/tiny", image)
    host = real_registry.host
    config = reaching(host)
    by_tag = pull(f"oci://{host}/lab/tiny:v1", config=config)
    pinned = pull(f"oci://{host}/lab/tiny@sha256:{digest}", config=config, name="two")
    assert (by_tag.digest, by_tag.trust, pinned.trust) == (SHA, "untrusted", "verified")
    assert by_tag.receipt.manifest_sha256 == pinned.receipt.manifest_sha256 == digest
    real_registry.push("lab/ollama", ollama(BODY))
    assert pull(f"ollama://{host}/lab/ollama:v1", config=config).digest == SHA
