"""`corral pull --signed-by`: who must have signed, and what is left when it was somebody else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.admission.expectation import Expectation
from corral.admission.signing.demand import SignatureDemand
from corral.admission.signing.keys import fingerprint
from corral.admission.signing.making import sign_with_key
from corral.admission.signing.statement import make_statement
from corral.core.config import Config, Fetch, Trust
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.download_server import DownloadServer, Page, download_server
from tests.support.gguf_file import GgufFile
from tests.support.signatures import new_key, public_pem, reference_sign
from tests.unit.admission.conftest import Pull, Trial

BODY = GgufFile().encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())
KEY = new_key()
ALICE = SignatureDemand("alice")


def bundle(name: str = "tiny.gguf", digest: Digest = SHA) -> bytes:
    return sign_with_key(make_statement(name, [(".", digest)]), KEY)


@pytest.fixture
def config(home: Home) -> Config:
    (home.root / "alice.pub").write_bytes(public_pem(KEY))
    table = {"kind": "key", "public_key": "alice.pub"}
    return Config(trust=Trust({"alice": table}))


def left_behind(home: Home) -> list[Path]:
    paths = [*home.quarantine.rglob("*"), *home.blobs.rglob("*")]
    return [p for p in paths if p.name not in {".lock", ".store-lock", "blobs"}]


def refusal(pull: Pull, source: object, **changes: object) -> str:
    with pytest.raises(CorralError) as caught:
        pull(source, **changes)
    return caught.value.code


@pytest.mark.claim("SIG-05")
def test_a_signed_file_is_verified_and_recorded(
    pull: Pull, model_file: Path, config: Config
) -> None:
    Path(f"{model_file}.sig").write_bytes(bundle())
    entry = pull(model_file, config=config, demand=ALICE)
    assert entry.trust == "verified"
    (signer,) = entry.receipt.signers
    assert (signer.name, signer.kind, signer.signed_name) == ("alice", "key", "tiny.gguf")
    assert signer.fingerprint == fingerprint(KEY.public_key())
    assert signer.bundle_sha256 == hashlib.sha256(bundle_bytes(model_file)).hexdigest()
    assert pull(model_file, config=config).receipt.signers == (), "nobody asked"


def bundle_bytes(model_file: Path) -> bytes:
    return Path(f"{model_file}.sig").read_bytes()


def test_a_folder_that_was_signed_as_a_whole_covers_its_file(
    pull: Pull, model_file: Path, config: Config, tmp_path: Path
) -> None:
    folder = tmp_path / "org"
    folder.mkdir()
    (folder / "card.md").write_text("hello")
    model = model_file.rename(folder / "tiny.gguf")
    reference_sign(folder, KEY, tmp_path / "m.sig")
    (tmp_path / "m.sig").rename(folder / "model.sig")
    assert pull(model, config=config, demand=ALICE).receipt.signers[0].signed_name == "org"


@pytest.mark.claim("SIG-05")
@pytest.mark.parametrize(
    ("raw", "demand", "code"),
    [
        (None, ALICE, "signature_missing"),
        (bundle(), SignatureDemand("bob"), "unknown_signer"),
        (b"{}", ALICE, "signature_malformed"),
        (bundle(digest=Digest("0" * 64)), ALICE, "signature_mismatch"),
        (bundle(name="other.gguf"), ALICE, "signature_name"),
        (
            sign_with_key(make_statement("tiny.gguf", [(".", SHA)]), new_key()),
            ALICE,
            "signature_invalid",
        ),
    ],
)
def test_anything_else_leaves_nothing_behind(
    raw: bytes | None,
    demand: SignatureDemand,
    code: str,
    home: Home,
    pull: Pull,
    model_file: Path,
    config: Config,
    trial: Trial,
) -> None:
    if raw is not None:
        Path(f"{model_file}.sig").write_bytes(raw)
    assert refusal(pull, model_file, config=config, demand=demand) == code
    assert left_behind(home) == []
    assert trial.loads == 0
    assert pull(model_file, config=config).trust == "untrusted", "the control: unsigned it passes"


def test_what_was_signed_is_not_looked_into_before_its_signature_counts(
    home: Home, pull: Pull, tmp_path: Path, config: Config
) -> None:
    """A file that the scanner would refuse is refused for its signature: it was not parsed."""
    bad = tmp_path / "tiny.gguf"
    bad.write_bytes(b"no model at all")
    Path(f"{bad}.sig").write_bytes(bundle())
    assert refusal(pull, bad, config=config, demand=ALICE) == "signature_mismatch"
    assert refusal(pull, bad, config=config) == "not_gguf"


def test_a_signature_file_and_a_name_that_are_given(
    pull: Pull, model_file: Path, config: Config, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_bytes(bundle("release.gguf"))
    demand = SignatureDemand("alice", tmp_path / "elsewhere")
    assert refusal(pull, model_file, config=config, demand=demand) == "signature_name"
    demand = SignatureDemand("alice", tmp_path / "elsewhere", "release.gguf")
    assert pull(model_file, config=config, demand=demand).receipt.signers


def test_a_file_of_the_store_is_admitted_again_only_with_its_signature(
    pull: Pull, model_file: Path, config: Config, trial: Trial
) -> None:
    pull(model_file, config=config)
    again = {"config": config, "demand": ALICE, "expect": Expectation(sha256=SHA), "name": "two"}
    assert refusal(pull, model_file, **again) == "signature_missing"
    Path(f"{model_file}.sig").write_bytes(bundle("other.gguf"))
    assert refusal(pull, model_file, **again) == "signature_name"
    Path(f"{model_file}.sig").write_bytes(bundle())
    entry = pull(model_file, **again)
    assert entry.receipt.readmitted_from_store
    assert [signer.name for signer in entry.receipt.signers] == ["alice"]
    assert trial.loads == 1


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DownloadServer]:
    with download_server() as running:
        (tmp_path / "ca.pem").write_text(running.ca_pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        yield running


@pytest.fixture
def remote(server: DownloadServer, config: Config) -> Config:
    fetch = Fetch(hosts=(), private_hosts=(server.host,), max_bytes=1 << 40)
    return Config(trust=config.trust, fetch=fetch)


@pytest.mark.parametrize("place", ["/m/tiny.gguf.sig", "/m/model.sig"])
def test_a_signature_beside_a_remote_model_is_fetched(
    home: Home, pull: Pull, server: DownloadServer, remote: Config, place: str
) -> None:
    server.pages |= {"/m/tiny.gguf": Page(BODY), place: Page(bundle())}
    entry = pull(server.url("/m/tiny.gguf"), config=remote, demand=ALICE)
    assert [signer.name for signer in entry.receipt.signers] == ["alice"]
    assert left_behind(home) == [home.blob(SHA)]


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (None, "signature_missing"),
        (Page(bundle("other.gguf")), "signature_name"),
        (Page(b"x" * (5 << 20)), "too_large"),
        (Page(b"nothing"), "signature_malformed"),
    ],
)
def test_a_remote_signature_that_does_not_count(
    home: Home, pull: Pull, server: DownloadServer, remote: Config, page: Page | None, code: str
) -> None:
    server.pages["/tiny.gguf"] = Page(BODY)
    if page is not None:
        server.pages["/tiny.gguf.sig"] = page
    assert refusal(pull, server.url("/tiny.gguf"), config=remote, demand=ALICE) == code
    assert left_behind(home) == []
    fetched = [path for path, _ in server.requests if path == "/tiny.gguf"]
    assert fetched == ([] if code != "signature_name" else ["/tiny.gguf"])


def test_a_source_that_has_no_place_for_a_signature(
    pull: Pull, server: DownloadServer, remote: Config
) -> None:
    source = server.url("/tiny.gguf?token=1")
    assert refusal(pull, source, config=remote, demand=ALICE) == "signature_missing"
    assert refusal(pull, "pypi://a==1/b.gguf", config=remote, demand=ALICE) == "signature_missing"
    assert server.requests == []


def advise(home: Home, **extension: list[str]) -> None:
    home.advisories.mkdir(exist_ok=True)
    record = {
        "id": "OPS-1",
        "modified": "2026-01-01T00:00:00Z",
        "summary": "stolen",
        "database_specific": {"corral": extension},
    }
    (home.advisories / "ops.json").write_text(json.dumps(record))


@pytest.mark.claim("ADV-01")
def test_a_digest_that_is_known_to_be_bad(
    home: Home, pull: Pull, model_file: Path, trial: Trial
) -> None:
    assert pull(model_file), "the control: nobody has said anything yet"
    advise(home, digests=[SHA])
    before = trial.loads
    assert refusal(pull, model_file) == "advisory_known_bad"
    expect = Expectation(sha256=SHA)
    assert refusal(pull, model_file, expect=expect, name="two") == "advisory_known_bad"
    assert trial.loads == before
    assert left_behind(home) == [home.blob(SHA)], (
        "what was admitted before stays until it is removed"
    )


@pytest.mark.claim("ADV-01")
def test_a_signer_that_is_known_to_be_bad(
    home: Home, pull: Pull, model_file: Path, config: Config
) -> None:
    Path(f"{model_file}.sig").write_bytes(bundle())
    assert pull(model_file, config=config, demand=ALICE)
    advise(home, signers=[fingerprint(KEY.public_key())])
    assert refusal(pull, model_file, config=config, demand=ALICE) == "advisory_known_bad"


@pytest.mark.claim("ADV-01")
def test_an_advisory_that_cannot_be_read_admits_nothing(
    home: Home, pull: Pull, model_file: Path
) -> None:
    advise(home, digest=[SHA])
    assert refusal(pull, model_file) == "advisory_malformed"
