"""The copy that is made while a file is fetched, with a job that is honest and one that is not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.admission.block_sharing import shares_blocks
from corral.admission.growing_copy import GrowingCopy
from corral.admission.sealing import SealedBlob
from corral.core.errors import CorralError
from corral.core.ids import Digest

BODY = os.urandom(300_000)
OTHER = os.urandom(300_000)


def sha256(body: bytes) -> Digest:
    return Digest(hashlib.sha256(body).hexdigest())


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "fetch" / "model.part"


@pytest.fixture
def copy(part: Path, tmp_path: Path) -> Iterator[GrowingCopy]:
    part.parent.mkdir()
    with GrowingCopy(part, tmp_path / "blobs", 1 << 30) as one:
        yield one


class Copied:
    """What was copied after the file was complete."""

    def __init__(self) -> None:
        self.ends: list[int] = []

    def __call__(self, done: int, total: int) -> None:
        self.ends.append(done)


def seal(
    copy: GrowingCopy, part: Path, claimed: Digest, copied: Copied | None = None
) -> SealedBlob:
    with part.open("rb") as file:
        return copy.seal(file.fileno(), claimed, copied or Copied())


def test_only_the_tail_is_left_in_the_end(copy: GrowingCopy, part: Path, tmp_path: Path) -> None:
    with part.open("wb", buffering=0) as file:
        for end in (100_000, 250_000):
            file.write(BODY[file.tell() : end])
            copy.follow(end)
            copy.follow(end)
        (under_way,) = (tmp_path / "blobs").iterdir()
        assert under_way.read_bytes() == BODY[:250_000]
        file.write(BODY[250_000:])
    copied = Copied()
    model = part.rename(part.with_name("model"))
    blob = seal(copy, model, sha256(BODY), copied)
    assert copied.ends == [len(BODY)]
    assert (blob.digest, blob.size_bytes) == (sha256(BODY), len(BODY))
    assert blob.path.read_bytes() == BODY
    assert os.listdir(tmp_path / "blobs") == [blob.digest]


def test_a_job_that_starts_over(copy: GrowingCopy, part: Path) -> None:
    part.write_bytes(OTHER)
    copy.follow(200_000)
    part.unlink()
    part.write_bytes(BODY)
    copy.follow(0)
    copy.follow(100_000)
    assert seal(copy, part, sha256(BODY)).path.read_bytes() == BODY


@pytest.mark.claim("FET-07")
def test_a_beginning_that_changes_after_it_was_copied(copy: GrowingCopy, part: Path) -> None:
    """The digest is that of the copy, whatever the job does: here all is copied once more."""
    part.write_bytes(OTHER[:200_000])
    copy.follow(200_000)
    with part.open("r+b") as file:
        file.write(BODY)
    blob = seal(copy, part, sha256(BODY))
    assert (blob.digest, blob.path.read_bytes()) == (sha256(BODY), BODY)


@pytest.mark.claim("FET-07")
@pytest.mark.parametrize("ready", [100_000, 10**12])
def test_a_job_that_lies(copy: GrowingCopy, part: Path, ready: int) -> None:
    """About how much is final, about the digest, about which file it is."""
    part.write_bytes(BODY)
    copy.follow(ready)
    other = part.with_name("model")
    other.write_bytes(OTHER)
    blob = seal(copy, other, sha256(BODY))
    assert (blob.digest, blob.path.read_bytes()) == (sha256(OTHER), OTHER)
    part.write_bytes(BODY)
    copy.follow(ready)
    blob = seal(copy, part, sha256(OTHER))
    assert (blob.digest, blob.path.read_bytes()) == (sha256(BODY), BODY)


def test_a_file_that_is_not_there_yet_or_is_a_link(copy: GrowingCopy, part: Path) -> None:
    copy.follow(10)
    part.symlink_to("/etc/passwd")
    copy.follow(20)
    part.unlink()
    os.mkfifo(part)
    copy.follow(30)
    part.unlink()
    part.write_bytes(BODY)
    assert seal(copy, part, sha256(BODY)).digest == sha256(BODY)


def test_too_large_while_it_comes(part: Path, tmp_path: Path) -> None:
    part.parent.mkdir()
    part.write_bytes(BODY)
    with GrowingCopy(part, tmp_path / "blobs", 1000) as copy, pytest.raises(CorralError) as caught:
        copy.follow(500)
    assert caught.value.code == "too_large"
    assert os.listdir(tmp_path / "blobs") == []


def test_what_was_not_sealed_is_taken_away(part: Path, tmp_path: Path) -> None:
    part.parent.mkdir()
    part.write_bytes(BODY)
    before = os.listdir("/proc/self/fd")
    with GrowingCopy(part, tmp_path / "blobs", 1 << 30) as copy:
        copy.follow(1000)
    assert os.listdir(tmp_path / "blobs") == []
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_whether_blocks_are_shared_leaves_nothing(tmp_path: Path) -> None:
    assert shares_blocks(tmp_path) in {True, False}
    assert not shares_blocks(Path("/dev/shm")), "tmpfs has no reflinks"
    assert list(tmp_path.iterdir()) == []
