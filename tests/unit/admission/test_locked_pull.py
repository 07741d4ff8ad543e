"""Pulls with a lock file: what it demands is met to the last digest, or nothing changes."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from corral.admission.catalog_changes import remove_entry
from corral.admission.expectation import Expectation
from corral.admission.lock_file import Lock, LockedModel
from corral.admission.locked_pull import LockedPull
from corral.admission.locking import LockedDemand, demand_besides, lock_model
from corral.admission.progress import no_progress
from corral.admission.signing.demand import SignatureDemand
from corral.admission.signing.making import sign_with_key
from corral.admission.signing.statement import make_statement
from corral.admission.source import parse_source
from corral.control.client import LauncherClient
from corral.core.config import Config, Fetch, Trust
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.download_server import DownloadServer, Page
from tests.support.gguf_file import F32, GgufFile, scalar
from tests.support.signatures import new_key, public_pem
from tests.unit.admission.conftest import Pull, Trial, reaching
from tests.unit.admission.test_plan import state_of

BODY = GgufFile().encode()
OTHER = GgufFile().with_value("x.y", scalar(F32, 1.5)).encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())

Locked = Callable[..., LockedPull]


@pytest.fixture
def locked(home: Home, launcher: LauncherClient, tmp_path: Path) -> Locked:
    def make(models: dict[str, LockedModel], config: Config | None = None) -> LockedPull:
        lock = Lock(1, models)
        return LockedPull(lock, tmp_path, home, config or Config(), launcher, no_progress)

    return make


def entry(**changes: object) -> LockedModel:
    plain = LockedModel(source="./tiny.gguf", sha256=SHA, size_bytes=len(BODY))
    return msgspec.structs.replace(plain, **changes)


def code_of(pull: LockedPull, trial: Trial, *names: str) -> str:
    with pytest.raises(CorralError) as caught:
        list(pull.pull(names, trial))
    return caught.value.code


@pytest.mark.claim("ADM-42")
def test_a_locked_model_is_reproduced_and_then_left_as_it_is(
    home: Home, locked: Locked, model_file: Path, trial: Trial
) -> None:
    pull = locked({"smol": entry()})
    ((made, pulled),) = pull.pull([], trial)
    assert (made.name, made.digest, made.trust, pulled) == ("smol", SHA, "verified", True)
    before = state_of(home)
    ((_, pulled),) = pull.pull(["smol"], trial)
    assert not pulled
    assert state_of(home) == before
    home.blob(SHA).unlink()
    ((_, pulled),) = pull.pull([], trial)
    assert (pulled, home.blob(SHA).read_bytes()) == (True, BODY)


@pytest.mark.claim("ADM-42")
def test_what_differs_from_the_lock_is_refused_and_nothing_changes(
    home: Home,
    locked: Locked,
    model_file: Path,
    trial: Trial,
    tmp_path: Path,
    server: DownloadServer,
) -> None:
    """Also the models of the file that come before the one that is refused."""
    config = reaching(server)
    server.pages["/far.gguf"] = Page(OTHER, headers={"X-Linked-ETag": f'"{SHA[::-1]}"'})
    far = entry(source=server.url("/far.gguf"))
    signer = {"name": "bob", "kind": "key", "fingerprint": "sha256:" + "b" * 64}
    signed = msgspec.convert(msgspec.to_builtins(entry()) | {"signed_by": signer}, LockedModel)
    cases: list[tuple[str, LockedModel]] = [
        ("hash_mismatch", entry(sha256=Digest("0" * 64))),
        ("hash_mismatch", far),
        ("source_missing", entry(source="./none.gguf")),
        ("bad_source", entry(source="http://h/x.gguf")),
        ("unknown_signer", signed),
    ]
    before = state_of(home)
    for code, bad in cases:
        pull = locked({"good": entry(), "zbad": bad}, config)
        assert code_of(pull, trial) == code
        assert state_of(home) == before
    assert code_of(locked({"good": entry()}), trial, "good", "none") == "lock_no_model"
    assert state_of(home) == before
    # The control: without the bad one, the good one comes.
    list(locked({"good": entry()}).pull([], trial))
    assert state_of(home) != before


@pytest.mark.claim("ADM-42")
def test_a_file_that_nobody_foretells_is_refused_when_it_is_there(
    home: Home, locked: Locked, trial: Trial, server: DownloadServer
) -> None:
    server.pages["/far.gguf"] = Page(OTHER)
    pull = locked({"far": entry(source=server.url("/far.gguf"))}, reaching(server))
    assert code_of(pull, trial) == "hash_mismatch"
    assert not any(home.blobs.iterdir())


def test_a_name_of_another_file_is_not_taken_over(
    locked: Locked, pull: Pull, model_file: Path, tmp_path: Path, trial: Trial
) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(OTHER)
    pull(other, name="smol")
    assert code_of(locked({"smol": entry()}), trial) == "name_taken"


def test_the_entry_of_a_pull_gets_the_same_bytes_again(
    home: Home, locked: Locked, pull: Pull, trial: Trial, server: DownloadServer, tmp_path: Path
) -> None:
    """The hub's branch has moved on: the commit is asked for."""
    hub = Config(fetch=Fetch((1 << 40), (), (server.host,), hf_endpoint=server.url("")))
    server.pages["/o/r/resolve/main/m.gguf"] = Page(BODY, headers={"X-Repo-Commit": "c0ffee"})
    first = pull("hf://o/r/m.gguf", config=hub)
    made = lock_model(parse_source("hf://o/r/m.gguf"), first.receipt, None, tmp_path)
    assert (made.source, made.revision) == ("hf://o/r/m.gguf@main", "c0ffee")
    server.pages["/o/r/resolve/main/m.gguf"] = Page(OTHER, headers={"X-Repo-Commit": "beef"})
    server.pages["/o/r/resolve/c0ffee/m.gguf"] = Page(BODY)
    # Admitted already, but nobody demanded the digest then: known bytes, nothing is fetched.
    asked = len(server.requests)
    ((again, pulled),) = locked({"m": made}, hub).pull([], trial)
    assert (pulled, again.trust, again.receipt.readmitted_from_store) == (True, "verified", True)
    assert "/main/" not in str([path for path, _ in server.requests[asked:]])
    remove_entry(home, "m")
    ((again, pulled),) = locked({"m": made}, hub).pull([], trial)
    assert (again.digest, again.receipt.source) == (SHA, "hf://o/r/m.gguf@c0ffee")


def test_a_pull_by_source_demands_what_the_lock_says(model_file: Path, tmp_path: Path) -> None:
    place = parse_source(str(model_file))
    asked = LockedDemand(str(model_file), Expectation(), None)
    lock = Lock(1, {"tiny": entry()})
    wanted = demand_besides(lock, "tiny", asked, place, tmp_path)
    assert wanted.expect == Expectation(sha256=SHA)
    assert demand_besides(lock, "other", asked, place, tmp_path) is asked
    elsewhere = parse_source(str(tmp_path / "else.gguf"))
    assert demand_besides(lock, "tiny", asked, elsewhere, tmp_path) is asked
    other = replace(asked, expect=Expectation(sha256=Digest("0" * 64)))
    with pytest.raises(CorralError, match="lock_mismatch"):
        demand_besides(lock, "tiny", other, place, tmp_path)


@pytest.mark.claim("ADM-15")
def test_a_query_is_not_written_into_a_lock_file(pull: Pull, server: DownloadServer) -> None:
    server.pages["/m.gguf?k=S3CRET"] = Page(BODY)
    url = server.url("/m.gguf?k=S3CRET")
    receipt = pull(url, config=reaching(server)).receipt
    for place in (parse_source(url), parse_source(receipt.source)):
        with pytest.raises(CorralError, match="lock_source"):
            lock_model(place, receipt, None, Path("/"))


@pytest.mark.claim("ADM-42")
def test_the_signer_is_locked_by_key(
    home: Home, locked: Locked, pull: Pull, model_file: Path, trial: Trial, tmp_path: Path
) -> None:
    key, other = new_key(), new_key()
    pem = home.root / "alice.pub"
    config = Config(trust=Trust({"alice": {"kind": "key", "public_key": "alice.pub"}}))

    def sign(with_key: ec.EllipticCurvePrivateKey) -> None:
        pem.write_bytes(public_pem(with_key))
        statement = make_statement("tiny.gguf", [(".", SHA)])
        (tmp_path / "by.sig").write_bytes(sign_with_key(statement, with_key))

    sign(key)
    demand = SignatureDemand("alice", tmp_path / "by.sig")
    first = pull(model_file, config=config, demand=demand)
    made = lock_model(parse_source(str(model_file)), first.receipt, demand, tmp_path)
    assert made.signed_by is not None
    assert (made.source, made.signed_by.signature) == ("./tiny.gguf", "./by.sig")
    sign(other)
    assert code_of(locked({"s": made}, config), trial) == "signer_mismatch"
    sign(key)
    ((entry, pulled),) = locked({"s": made}, config).pull([], trial)
    (again,), (once,) = entry.receipt.signers, first.receipt.signers
    assert (again.fingerprint, pulled) == (once.fingerprint, True)
    ((_, pulled),) = locked({"s": made}, config).pull([], trial)
    assert not pulled
