"""Pulls from registries from end to end, with a registry of ours and with a real one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from corral.admission.expectation import Expectation
from corral.admission.fetch.wire import Arrived, encode
from corral.admission.lock_file import Lock
from corral.admission.locked_pull import LockedPull
from corral.admission.locking import lock_model
from corral.admission.progress import no_progress
from corral.admission.pull import pull_model
from corral.admission.source import parse_source, source_folder
from corral.control.client import LauncherClient
from corral.core.config import Config, Fetch
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.bare_jobs import bare_jobs
from tests.support.download_server import DownloadServer, download_server
from tests.support.gguf_file import GgufFile
from tests.support.gguf_split import split_gguf
from tests.support.real_registry import RealRegistry, started_registry
from tests.support.registry import OCI, TITLE, Image, ollama, oras, publish, sha256
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


PARTS = split_gguf(BODY, 3)
DIGESTS = tuple(Digest(sha256(part)) for part in PARTS)


def part_name(number: int) -> str:
    return f"tiny-{number:05d}-of-00003.gguf"


def sharded(parts: Sequence[bytes] = PARTS, annotation: str = TITLE) -> Image:
    """Return an artifact of several files, as `oras push` and `docker model package` make it."""
    kind = "application/vnd.docker.ai.gguf.v3" if annotation != TITLE else "application/x"
    named = list(enumerate(parts, 1))
    image = Image([(kind, part_name(number), part) for number, part in named])
    layers = json.loads(image.manifest())["layers"]
    for (number, _), layer in zip(named, layers, strict=True):
        folder = "" if annotation == TITLE else "weights/"
        layer["annotations"] = {annotation: folder + part_name(number)}
    image.changes["layers"] = layers
    return image


@pytest.mark.claim("ADM-44")
def test_a_model_in_several_layers(
    real_registry: RealRegistry, pull: Pull, home: Home, launcher: LauncherClient, trial: Trial
) -> None:
    host, config = real_registry.host, reaching(real_registry.host)
    digest = real_registry.push("lab/set", sharded())
    real_registry.push("lab/docker", sharded(annotation="org.cncf.model.filepath"))
    source = f"oci://{host}/lab/set:v1#{part_name(1)}"
    entry = pull(source, config=config)
    assert (entry.name, entry.digest, entry.trust) == ("tiny", SHA, "untrusted")
    receipt = entry.receipt
    assert [(p.name, p.sha256) for p in receipt.parts] == [
        (part_name(number), digest) for number, digest in enumerate(DIGESTS, 1)
    ]
    assert (receipt.manifest_sha256, len(receipt.layers)) == (digest, 1), "the configuration"
    pinned = f"oci://{host}/lab/set@sha256:{digest}#{part_name(1)}"
    assert pull(pinned, config=config).trust == "verified"
    docker = f"oci://{host}/lab/docker:v1"
    assert pull(f"{docker}#{part_name(1)}", config=config, name="two").digest == SHA
    with pytest.raises(CorralError) as caught:
        pull(docker, config=config)
    assert caught.value.code == "member_ambiguous"
    assert part_name(1) in str(caught.value.remedy)
    # A lock file has its parts and its manifest, whatever the tag means by then.
    made = lock_model(parse_source(source), receipt, None, home.root)
    assert (made.parts_sha256, made.manifest_sha256) == (DIGESTS, digest)
    real_registry.push("lab/set", sharded(PARTS[:2]))
    locked = LockedPull(Lock(1, {"s": made}), home.root, home, config, launcher, no_progress)
    ((again, pulled),) = locked.pull([], trial)
    assert (again.digest, again.trust, pulled) == (SHA, "verified", True)


@pytest.mark.claim("ADM-44")
def test_parts_of_one_manifest_are_not_mixed_with_those_of_another(
    pull: Pull, server: DownloadServer, home: Home
) -> None:
    """The tag moves while the first part comes; what comes then is of the first manifest."""
    digest = publish(server, "a/set", sharded())
    moved = sharded([PARTS[0], PARTS[1][:-1] + b"\x01", PARTS[2]])
    source = f"oci://{server.host}/a/set#{part_name(1)}"
    first = f"/v2/a/set/blobs/sha256:{DIGESTS[0]}"

    def stage(name: str, _done: int, _total: int) -> None:
        if name == "copy":
            publish(server, "a/set", moved)

    assert pull(source, config=reaching(server.host), progress=stage).digest == SHA
    asked = [path for path, _ in server.requests if "/manifests/" in path]
    assert asked == ["/v2/a/set/manifests/latest", *2 * [f"/v2/a/set/manifests/sha256:{digest}"]]
    assert [path for path, _ in server.requests].count(first) == 1


def test_a_set_that_its_registry_does_not_have_whole(
    pull: Pull, server: DownloadServer, home: Home, trial: Trial
) -> None:
    config = reaching(server.host)
    publish(server, "a/set", sharded(PARTS[:2]))
    source = f"oci://{server.host}/a/set"
    wrong = Expectation(parts=(*DIGESTS[:2], Digest("0" * 64)))
    for number, expect, code in (
        (1, Expectation(), "member_not_found"),
        (2, Expectation(), "bad_source"),
        (1, Expectation(sha256=SHA), "bad_digest"),
        (1, wrong, "hash_mismatch"),
    ):
        if code == "hash_mismatch":
            publish(server, "a/set", sharded())
        with pytest.raises(CorralError) as caught:
            pull(f"{source}#{part_name(number)}", config=config, expect=expect)
        assert caught.value.code == code
    left = {path.name for path in home.quarantine.rglob("*")} - {".lock", ".store-lock", "blobs"}
    assert (left, list(home.blobs.iterdir()), trial.loads) == (set(), [], 0)
