"""The fetch jail itself, its walls in place, against registries on loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from corral.admission.expectation import Expectation
from corral.admission.fetch.client import fetch_folder, fetch_source
from corral.admission.fetch.wire import MODEL, PART, Arrived, Wanted
from corral.admission.growing_copy import GrowingCopy
from corral.admission.manifest_proof import read_manifest
from corral.admission.progress import no_progress
from corral.admission.signing.attached import verify_attached
from corral.admission.source import RemoteSource, parse_source, source_folder
from corral.core.config import Fetch
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.cosign import simple_image, simple_payload
from tests.support.download_server import Page, download_server
from tests.support.measured_launcher import StartedLauncher
from tests.support.real_registry import started_registry
from tests.support.registry import ollama, oras, publish, sha256
from tests.support.signatures import NOW, new_key, trusted_key

BODY = bytes(range(256)) * 40_000
SHA = sha256(BODY)
Fetching = Callable[..., Arrived]


@pytest.fixture(params=["crun", "runc"])
def fetching(
    request: pytest.FixtureRequest, needs_runtime: Callable[[str], None], job_home: Home,
    launch: Callable[..., StartedLauncher], monkeypatch: pytest.MonkeyPatch,
) -> Fetching:  # fmt: skip
    """Fetch by a jail of each runtime, trusting one authority and listing some hosts."""
    needs_runtime(request.param)
    client = launch({"sandbox.runtime": request.param}).client

    def fetch(
        source: RemoteSource, ca: Path, *hosts: str, private: bool = True,
        wanted: Wanted = "model", ready: Callable[[int], None] | None = None,
    ) -> Arrived:  # fmt: skip
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
        config = Fetch(hosts=hosts, private_hosts=hosts if private else ())
        return fetch_source(
            source, config=config, expect=Expectation(), launcher=client, progress=no_progress,
            wanted=wanted, ready=ready,
        )  # fmt: skip

    return fetch


def remote(text: str) -> RemoteSource:
    source = parse_source(text)
    assert isinstance(source, RemoteSource)
    return source


def test_an_artifact_of_a_real_registry_and_its_signature(
    fetching: Fetching, job_home: Home, tmp_path: Path
) -> None:
    key = new_key()
    with started_registry(tmp_path) as registry:
        manifest = registry.push("lab/tiny", oras("tiny.gguf", BODY))
        for text in (f"{registry.host}/lab/tiny:v1", f"{registry.host}/lab/tiny@sha256:{manifest}"):
            source = remote(f"oci://{text}")
            assert fetching(source, registry.ca, registry.host).sha256 == SHA
            folder = job_home.quarantine / source_folder(source)
            assert (folder / MODEL).read_bytes() == BODY
            assert read_manifest(folder).digest == manifest
        payload = simple_payload(manifest, f"{registry.host}/lab/tiny:v1")
        registry.push("lab/tiny", simple_image((payload, key)), f"sha256-{manifest}.sig")
        fetching(source, registry.ca, registry.host, wanted="signatures")
        found = job_home.quarantine / fetch_folder(source, "signatures") / MODEL
        signed = verify_attached(found.read_bytes(), trusted_key(key), NOW, None)
        assert (signed.manifest, signed.signer.name) == (manifest, "alice")


def test_a_large_file_over_several_connections(
    fetching: Fetching, job_home: Home, tmp_path: Path
) -> None:
    body = BODY * 7
    with download_server() as server:
        ca = tmp_path / "ca.pem"
        ca.write_text(server.ca_pem)
        server.pages["/m"] = Page(body, headers={"ETag": '"v1"', "Accept-Ranges": "bytes"})
        source = remote(server.url("/m"))
        folder = job_home.quarantine / source_folder(source)
        with GrowingCopy(folder / PART, job_home.quarantine / "blobs", 1 << 30) as copy:
            arrived = fetching(source, ca, server.host, ready=copy.follow)
            with (folder / MODEL).open("rb") as file:
                blob = copy.seal(file.fileno(), Digest(arrived.sha256), lambda done, total: None)
        assert len(server.ranges()) == 3, "in parts of 32 MiB"
    assert blob.digest == arrived.sha256 == sha256(body)
    assert blob.path.read_bytes() == (folder / MODEL).read_bytes() == body


def test_a_model_of_ollama_whose_blobs_lie_elsewhere(
    fetching: Fetching, job_home: Home, tmp_path: Path
) -> None:
    """As registry.ollama.ai: the manifest by tag, the blob behind a redirect to a store."""
    with download_server() as registry, download_server() as store:
        publish(registry, "me/tiny", ollama(BODY, ("template", b"{{ .Prompt }}")), "q4", "t0ken")
        blob = registry.pages[f"/v2/me/tiny/blobs/sha256:{SHA}"]
        blob.status, blob.headers = 307, {"Location": store.url(f"/blobs/{SHA}?signature=1")}
        store.pages[f"/blobs/{SHA}?signature=1"] = Page(BODY)
        ca = tmp_path / "ca.pem"
        ca.write_text(registry.ca_pem + store.ca_pem)
        source = remote(f"ollama://{registry.host}/me/tiny:q4")
        arrived = fetching(source, ca, registry.host, store.host)
        assert (arrived.sha256, len(arrived.layers)) == (SHA, 2)
        assert arrived.final_url == store.url(f"/blobs/{SHA}?query-removed")
        assert (job_home.quarantine / source_folder(source) / MODEL).read_bytes() == BODY
        assert "authorization" not in store.requests[0][1]
        # And without what the operator lists, the same jail refuses the same registry.
        with pytest.raises(CorralError) as caught:
            fetching(source, ca, registry.host, store.host, private=False)
        assert caught.value.code == "private_address"
