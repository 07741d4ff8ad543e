"""`corral pull oci://… --signed-by`: cosign's signatures in a registry, true and forged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.admission.expectation import Expectation
from corral.admission.signing.demand import SignatureDemand
from corral.admission.signing.keys import fingerprint
from corral.core.config import Config, Fetch, Trust
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.cosign import (
    INDEX,
    bundle_image,
    bundle_of,
    referrers,
    simple_image,
    simple_payload,
    statement_of,
)
from tests.support.download_server import DownloadServer, Page, download_server
from tests.support.gguf_file import GgufFile
from tests.support.gguf_split import split_gguf
from tests.support.real_registry import RealRegistry, started_registry
from tests.support.registry import TITLE, Image, ollama, oras, publish, sha256
from tests.support.signatures import new_key, public_pem
from tests.support.sigstore_instance import IDENTITY, ISSUER, SigstoreInstance
from tests.unit.admission.conftest import Pull, Trial

BODY = GgufFile().encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())
KEY, OTHER_KEY = new_key(), new_key()
ALICE = SignatureDemand("alice")


def trusting(home: Home, host: str) -> Config:
    (home.root / "alice.pub").write_bytes(public_pem(KEY))
    table = {"kind": "key", "public_key": "alice.pub"}
    fetch = Fetch(hosts=(), private_hosts=(host,))
    return Config(trust=Trust({"alice": table}), fetch=fetch)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with started_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def config(registry: RealRegistry, home: Home, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("SSL_CERT_FILE", str(registry.ca))
    return trusting(home, registry.host)


def refusal(pull: Pull, source: str, config: Config, demand: SignatureDemand = ALICE) -> str:
    with pytest.raises(CorralError) as caught:
        pull(source, config=config, demand=demand)
    return caught.value.code


def left_behind(home: Home) -> list[str]:
    paths = [*home.quarantine.rglob("*"), *home.blobs.rglob("*")]
    return [p.name for p in paths if p.name not in {".lock", ".store-lock", "blobs"}]


@pytest.mark.claim("SIG-08")
def test_an_artifact_that_cosign_signed(
    registry: RealRegistry, home: Home, pull: Pull, config: Config
) -> None:
    """Both forms in a real registry; the older one under its tag, the newer as a referrer."""
    for repository in ("simple", "bundle"):
        manifest = registry.push(repository, oras("tiny.gguf", BODY))
        reference = f"{registry.host}/{repository}"
        if repository == "simple":
            image = simple_image(
                (simple_payload(manifest, reference), OTHER_KEY),
                (simple_payload(manifest, f"{reference}:v1"), KEY),
            )
            registry.push(repository, image, f"sha256-{manifest}.sig")
        else:
            image = bundle_image(bundle_of(manifest, KEY), manifest)
            registry.push(repository, image, "some")
            index = referrers(image)
            registry.put_manifest(repository, f"sha256-{manifest}", index, INDEX)
        for source in (f"oci://{reference}:v1", f"oci://{reference}@sha256:{manifest}"):
            entry = pull(source, config=config, demand=ALICE, name=repository)
            assert (entry.digest, entry.trust) == (SHA, "verified")
            (signer,) = entry.receipt.signers
            assert (signer.name, signer.kind) == ("alice", "key")
            assert signer.fingerprint == fingerprint(KEY.public_key())
            assert entry.receipt.manifest_sha256 == manifest
        assert left_behind(home) == [SHA]


@pytest.mark.claim("SIG-08")
@pytest.mark.parametrize("case", ["unsigned", "other key", "other manifest", "other name"])
def test_an_artifact_that_alice_did_not_sign(
    registry: RealRegistry, home: Home, pull: Pull, config: Config, trial: Trial, case: str
) -> None:
    repository = case.replace(" ", "-")
    reference = f"{registry.host}/{repository}"
    manifest = registry.push(repository, oras("tiny.gguf", BODY))
    # A signature that is true, for another artifact of alice's: put where it does not belong.
    other = registry.push(repository, oras("other.gguf", BODY[:-1] + b"x"), "v2")
    signed = {
        "other key": (simple_payload(manifest, reference), OTHER_KEY),
        "other manifest": (simple_payload(other, reference), KEY),
        "other name": (simple_payload(manifest, f"{registry.host}/trusted"), KEY),
    }
    if case in signed:
        registry.push(repository, simple_image(signed[case]), f"sha256-{manifest}.sig")
    codes = {
        "unsigned": "signature_missing",
        "other key": "signature_invalid",
        "other manifest": "signature_mismatch",
        "other name": "signature_name",
    }
    assert refusal(pull, f"oci://{reference}:v1", config) == codes[case]
    assert (left_behind(home), trial.loads) == ([], 0)
    if case == "other name":
        named = SignatureDemand("alice", signed_name=f"{registry.host}/trusted")
        assert pull(f"oci://{reference}:v1", config=config, demand=named).receipt.signers
    else:
        assert pull(f"oci://{reference}:v1", config=config).trust == "untrusted", "the control"


def test_a_file_of_the_store_needs_the_registry_for_its_signature(
    registry: RealRegistry, pull: Pull, config: Config, model_file: Path
) -> None:
    """A digest that is known does not say that a signed manifest names it."""
    pull(model_file, config=config)
    reference = f"{registry.host}/again"
    manifest = registry.push("again", oras("tiny.gguf", BODY))
    options = {"config": config, "expect": Expectation(sha256=SHA), "demand": ALICE, "name": "two"}
    with pytest.raises(CorralError) as caught:
        pull(f"oci://{reference}:v1", **options)
    assert caught.value.code == "signature_missing"
    image = simple_image((simple_payload(manifest, reference), KEY))
    registry.push("again", image, f"sha256-{manifest}.sig")
    entry = pull(f"oci://{reference}:v1", **options)
    assert not entry.receipt.readmitted_from_store
    assert [signer.name for signer in entry.receipt.signers] == ["alice"]


# What a real registry does not do


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DownloadServer]:
    with download_server() as running:
        (tmp_path / "ca.pem").write_text(running.ca_pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        yield running


def publish_signed(server: DownloadServer, token: str = "") -> str:
    """An artifact `a/b` whose bundle is found by the referrers of OCI 1.1."""
    manifest = publish(server, "a/b", oras("tiny.gguf", BODY), token=token)
    image = bundle_image(bundle_of(manifest, KEY), manifest)
    publish(server, "a/b", image, "some", token=token)
    server.pages[f"/v2/a/b/referrers/sha256:{manifest}"] = Page(referrers(image))
    return manifest


@pytest.mark.claim("SIG-06")
def test_an_artifact_that_an_identity_signed(
    server: DownloadServer, home: Home, pull: Pull
) -> None:
    """`cosign sign` without a key: the whole way, with a Sigstore of our own."""
    sigstore = SigstoreInstance()
    sigstore.write_trusted_root(home.root / "trusted_root.json")
    table = {"kind": "sigstore", "identity": IDENTITY, "issuer": ISSUER,
             "trusted_root": "trusted_root.json"}  # fmt: skip
    fetch = Fetch(hosts=(), private_hosts=(server.host,))
    config = Config(trust=Trust({"ci": table}), fetch=fetch)
    manifest = publish(server, "a/b", oras("tiny.gguf", BODY))
    demand = SignatureDemand("ci")

    def sign(bundle: bytes) -> None:
        image = bundle_image(bundle, manifest)
        publish(server, "a/b", image, "some")
        server.pages[f"/v2/a/b/referrers/sha256:{manifest}"] = Page(referrers(image))

    statement = statement_of(manifest)
    for bundle, code in (
        (SigstoreInstance().bundle(statement), "signature_invalid"),
        (sigstore.bundle(statement, identity="other@example.org"), "signature_invalid"),
        (sigstore.bundle(statement_of("0" * 64)), "signature_mismatch"),
        (bundle_of(manifest, KEY), "signature_malformed"),
    ):
        sign(bundle)
        assert refusal(pull, f"oci://{server.host}/a/b", config, demand) == code
        assert left_behind(home) == []
    sign(sigstore.bundle(statement))
    entry = pull(f"oci://{server.host}/a/b", config=config, demand=demand)
    (signer,) = entry.receipt.signers
    assert (signer.kind, signer.identity, entry.trust) == ("sigstore", IDENTITY, "verified")


@pytest.mark.parametrize("token", ["", "t0ken"])
def test_referrers(server: DownloadServer, home: Home, pull: Pull, token: str) -> None:
    publish_signed(server, token)
    entry = pull(f"oci://{server.host}/a/b", config=trusting(home, server.host), demand=ALICE)
    assert [signer.name for signer in entry.receipt.signers] == ["alice"]


@pytest.mark.claim("SIG-08")
def test_a_tag_that_moves_between_signature_and_model(
    server: DownloadServer, home: Home, pull: Pull
) -> None:
    """The registry shows a signed manifest to whoever asks for signatures, then another one."""
    publish_signed(server)
    hostile = oras("tiny.gguf", BODY)
    hostile.layers.append(("text/plain", "", b"more"))
    publish(server, "a/b", hostile, "v2")
    tag = server.pages["/v2/a/b/manifests/latest"]
    tag.then = server.pages["/v2/a/b/manifests/v2"]
    config = trusting(home, server.host)
    assert refusal(pull, f"oci://{server.host}/a/b", config) == "signature_mismatch"
    assert server.pages["/v2/a/b/manifests/latest"] is tag.then
    assert left_behind(home) == []


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "no index": ("referrers", b"{", "bad_manifest"),
    "an index that is deep": ("referrers", b"[" * 100_000, "bad_manifest"),
    "another manifest than listed": ("manifest", b"{}", "hash_mismatch"),
    "another bundle than named": ("blob", b"{}", "hash_mismatch"),
    "a bundle without end": ("blob", bytes(2 << 20), "too_large"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_registry_that_keeps_rubbish(
    server: DownloadServer, home: Home, pull: Pull, case: str
) -> None:
    where, body, code = BROKEN[case]
    manifest = publish_signed(server)
    image = bundle_image(bundle_of(manifest, KEY), manifest)
    publish(server, "a/b", image, "some")
    digest = hashlib.sha256(image.manifest()).hexdigest()
    blob = hashlib.sha256(image.layers[0][2]).hexdigest()
    path = {
        "referrers": f"referrers/sha256:{manifest}",
        "manifest": f"manifests/sha256:{digest}",
        "blob": f"blobs/sha256:{blob}",
    }[where]
    server.pages[f"/v2/a/b/referrers/sha256:{manifest}"] = Page(referrers(image))
    server.pages[f"/v2/a/b/{path}"] = Page(body)
    config = trusting(home, server.host)
    assert refusal(pull, f"oci://{server.host}/a/b", config) == code
    assert left_behind(home) == []


def test_more_signatures_than_are_looked_at(server: DownloadServer, home: Home, pull: Pull) -> None:
    manifest = publish(server, "a/b", oras("tiny.gguf", BODY))
    payloads = [simple_payload(manifest, f"{server.host}/a/b:{i}") for i in range(40)]
    image = simple_image(*((payload, OTHER_KEY) for payload in payloads))
    publish(server, "a/b", image, f"sha256-{manifest}.sig")
    config = trusting(home, server.host)
    assert refusal(pull, f"oci://{server.host}/a/b", config) == "signature_invalid"
    blobs = [path for path, _ in server.requests if "/blobs/" in path]
    assert len(blobs) == 16


@pytest.mark.claim("SIG-08")
def test_a_signature_covers_every_part_of_a_set(
    server: DownloadServer, home: Home, pull: Pull
) -> None:
    parts = [(f"tiny-{n:05d}-of-00002.gguf", part) for n, part in enumerate(split_gguf(BODY, 2), 1)]
    config = trusting(home, server.host)
    source = f"oci://{server.host}/a/b#{parts[0][0]}"
    signed, other = (
        Image([(kind, "", body) for _, body in parts], changes={"layers": [
            {"mediaType": kind, "digest": f"sha256:{sha256(body)}", "size": len(body),
             "annotations": {TITLE: name}}
            for name, body in parts
        ]})
        for kind in ("application/x", "application/y")
    )  # fmt: skip
    manifest = publish(server, "a/b", signed)
    payload = simple_payload(manifest, f"{server.host}/a/b")
    publish(server, "a/b", simple_image((payload, KEY)), f"sha256-{manifest}.sig")
    publish(server, "a/b", other)
    assert refusal(pull, source, config) == "signature_missing"
    publish(server, "a/b", signed)
    entry = pull(source, config=config, demand=ALICE)
    assert (entry.digest, entry.trust, len(entry.receipt.parts)) == (SHA, "verified", 2)


def test_other_registries_have_no_place_for_a_signature(
    server: DownloadServer, home: Home, pull: Pull
) -> None:
    publish(server, "a/b", ollama(BODY))
    config = trusting(home, server.host)
    assert refusal(pull, f"ollama://{server.host}/a/b", config) == "signature_missing"
    assert refusal(pull, f"oci://{server.host}/no/such", config) == "not_found"
