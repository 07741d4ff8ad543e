"""Models in several files: fetched, checked part by part, joined, and admitted as one."""

import hashlib
from pathlib import Path

import pytest

from corral.admission.expectation import Expectation
from corral.admission.lock_file import Lock
from corral.admission.locked_pull import LockedPull
from corral.admission.locking import lock_model
from corral.admission.plan import plan_pull
from corral.admission.progress import no_progress
from corral.admission.scan.merge_plan import MergePlan, Piece, encode_merge_plan, parse_merge_plan
from corral.admission.source import parse_source
from corral.admission.source_set import set_of
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.bare_jobs import bare_jobs
from tests.support.download_server import DownloadServer, Page
from tests.support.gguf_file import GgufFile
from tests.support.gguf_split import split_gguf
from tests.unit.admission.conftest import Pull, Trial, reaching

BODY = GgufFile().encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())
PARTS = split_gguf(BODY, 3)
DIGESTS = tuple(Digest(hashlib.sha256(part).hexdigest()) for part in PARTS)
PINNED = Expectation(parts=DIGESTS)


def name(number: int) -> str:
    return f"tiny-{number:05d}-of-00003.gguf"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    for number, part in enumerate(PARTS, 1):
        (tmp_path / name(number)).write_bytes(part)
    return tmp_path / name(1)


def left(home: Home) -> set[str]:
    names = {path.name for path in [*home.quarantine.rglob("*"), *home.blobs.rglob("*")]}
    return names - {".lock", ".store-lock", "blobs"}


def code_of(pull: Pull, source: object, **options: object) -> str:
    with pytest.raises(CorralError) as caught:
        pull(source, **options)
    return caught.value.code


@pytest.mark.claim("ADM-44")
def test_parts_become_the_file_that_they_were_made_of(home: Home, pull: Pull, first: Path) -> None:
    entry = pull(first, expect=PINNED)
    assert (entry.name, entry.digest, entry.trust) == ("tiny", SHA, "verified")
    assert home.blob(SHA).read_bytes() == BODY
    assert [(p.name, p.sha256) for p in entry.receipt.parts] == [
        (name(number), digest) for number, digest in enumerate(DIGESTS, 1)
    ]
    assert left(home) == {SHA}


def test_parts_from_the_network(home: Home, pull: Pull, server: DownloadServer) -> None:
    for number, part in enumerate(PARTS, 1):
        server.pages[f"/{name(number)}"] = Page(part)
    entry = pull(server.url(f"/{name(1)}"), config=reaching(server))
    assert (entry.digest, entry.trust) == (SHA, "untrusted")
    assert left(home) == {SHA}


@pytest.mark.claim("ADM-44")
def test_a_set_that_is_not_whole_or_not_the_demanded_one_is_refused(
    home: Home, pull: Pull, first: Path, trial: Trial
) -> None:
    wrong = Expectation(parts=(*DIGESTS[:2], Digest("0" * 64)))
    assert code_of(pull, first, expect=wrong) == "hash_mismatch"
    assert code_of(pull, first, expect=Expectation(sha256=SHA)) == "bad_digest"
    assert code_of(pull, first, expect=Expectation(parts=DIGESTS[:2])) == "bad_digest"
    assert code_of(pull, first.with_name(name(2))) == "bad_source"
    first.with_name(name(3)).write_bytes(PARTS[1])
    assert code_of(pull, first) == "scan_rejected"
    first.with_name(name(3)).unlink()
    assert code_of(pull, first) == "source_missing"
    assert (left(home), trial.loads) == (set(), 0)


@pytest.mark.claim("ADM-44")
@pytest.mark.parametrize(
    "plan",
    [
        b'{"merge":[["",0,0,999999]]}\n',
        b'{"merge":[["",3,0,1]]}\n',
        b'{"merge":[["",0,0,-1]]}\n',
        b'{"merge":[["QUJD",0,0,0]]}\n',
        b'{"verdict":"accept","findings":[],"facts":null,"scanner":"s"}\n',
        b"",
    ],
    ids=["past the end", "no such part", "negative", "no model", "a report", "nothing"],
)
def test_a_hostile_plan_admits_nothing(home: Home, pull: Pull, first: Path, plan: bytes) -> None:
    """What a plan within bounds makes is scanned; this job has nothing else to say then."""
    program = f"import os; os.write(1, {plan!r})"
    with bare_jobs(home, program) as launcher:
        assert code_of(pull, first, launcher=launcher) == "scan_failed"
    assert left(home) == set()


def test_plans_are_bounded() -> None:
    good = MergePlan((Piece(b"head"), Piece(part=1, offset=2, length=3)))
    assert parse_merge_plan(encode_merge_plan(good), [1, 5]) == good
    assert parse_merge_plan(encode_merge_plan(good), [1, 4]) is None
    twice = MergePlan((Piece(part=0, length=4 << 20), Piece(part=0, length=4 << 20)))
    assert parse_merge_plan(encode_merge_plan(twice), [4 << 20]) is None
    assert parse_merge_plan(b"{", [1]) is None


def test_a_dry_run_and_a_lock_file_know_the_parts(
    home: Home, pull: Pull, first: Path, launcher: LauncherClient, trial: Trial
) -> None:
    plan = plan_pull(str(first), home=home, config=Config(), launcher=launcher, expect=PINNED)
    assert ([file.sha256 for file in plan.files], plan.trust) == ([*DIGESTS], "verified")
    receipt = pull(first).receipt
    made = lock_model(parse_source(str(first)), receipt, None, first.parent)
    assert made.parts_sha256 == DIGESTS
    locked = LockedPull(Lock(1, {"s": made}), first.parent, home, Config(), launcher, no_progress)
    ((entry, pulled),) = locked.pull([], trial)
    assert (entry.digest, pulled) == (SHA, True)
    ((entry, pulled),) = locked.pull([], trial)
    assert not pulled
    first.with_name(name(2)).write_bytes(PARTS[0])
    renamed = LockedPull(Lock(1, {"t": made}), first.parent, home, Config(), launcher, no_progress)
    with pytest.raises(CorralError, match="hash_mismatch"):
        list(renamed.pull([], trial))


def test_names_of_parts() -> None:
    found = set_of(parse_source("hf://o/r/q4/m-00001-of-00002.gguf"))
    assert [str(one) for one in found] == [
        "hf://o/r/q4/m-00001-of-00002.gguf@main", "hf://o/r/q4/m-00002-of-00002.gguf@main",
    ]  # fmt: skip
    wheel = set_of(parse_source("pypi://d==1/m-00001-of-00002.gguf"))
    assert str(wheel[1]) == "pypi://d==1/m-00002-of-00002.gguf"
    for alone in ("https://h/m-00001-of-00002.gguf?k=1", "oci://h/m:v1", "./m-00001-of-00001.gguf"):
        assert len(set_of(parse_source(alone))) == 1
