"""A sealed copy is ours, read-only and hashed as written; only regular files are copied."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from corral.admission.sealing import open_fetched_file, open_local_file, seal_copy
from corral.core.errors import CorralError


def seal(source: Path, folder: Path, max_bytes: int = 1 << 40) -> tuple[Path, str, int]:
    fd = open_local_file(source)
    try:
        blob = seal_copy(fd, folder, max_bytes=max_bytes, moved=lambda done, total: None)
    finally:
        os.close(fd)
    return blob.path, blob.digest, blob.size_bytes


@pytest.mark.parametrize("size", [0, 1, 8 << 20, (8 << 20) + 5, 20_000_000])
def test_a_copy(tmp_path: Path, size: int) -> None:
    body = os.urandom(1 << 16) * (size // (1 << 16) + 1)
    source = tmp_path / "source"
    source.write_bytes(body[:size])
    path, digest, size_bytes = seal(source, tmp_path / "q" / "blobs")
    assert digest == hashlib.sha256(body[:size]).hexdigest() == path.name
    assert path.read_bytes() == body[:size]
    assert size_bytes == size
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.stat().st_ino != source.stat().st_ino


def test_from_another_file_system(tmp_path: Path) -> None:
    folder = Path("/dev/shm")
    if not folder.is_dir() or folder.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    source = folder / f"corral-test-{os.getpid()}"
    source.write_bytes(b"abc" * 10_000)
    try:
        path, _, _ = seal(source, tmp_path / "q")
        assert path.read_bytes() == b"abc" * 10_000
    finally:
        source.unlink()


def test_too_large_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 100)
    with pytest.raises(CorralError) as caught:
        seal(tmp_path / "source", tmp_path / "q", max_bytes=99)
    assert caught.value.code == "too_large"
    assert list((tmp_path / "q").iterdir()) == []


def test_a_file_that_cannot_be_held(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 43)
    with pytest.raises(CorralError) as caught:
        seal(tmp_path / "sparse", tmp_path / "q", max_bytes=1 << 50)
    assert caught.value.code == "no_space"


@pytest.mark.claim("ADM-08")
def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    cases = {
        "link": "source_symlink",
        ".": "source_not_a_file",
        "fifo": "source_not_a_file",
        "socket": "source_not_a_file",
        "/dev/null": "source_not_a_file",
        "missing": "source_missing",
        "file/x": "source_missing",
    }
    for name, code in cases.items():
        with pytest.raises(CorralError) as caught:
            open_local_file(tmp_path / name)
        assert caught.value.code == code


@pytest.mark.claim("ADM-05")
def test_a_fetch_job_cannot_pass_off_something_else(tmp_path: Path) -> None:
    folder = tmp_path / "fetch"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "alias").symlink_to(folder)
    (folder / "model").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "fifo")
    for where, name in ((folder, "model"), (folder, "fifo"), (folder, "no"), (tmp_path, "fetch")):
        with pytest.raises(CorralError) as caught:
            open_fetched_file(where, name)
        assert caught.value.code == "fetch_failed"
    (folder / "model").unlink()
    (folder / "model").write_bytes(b"y")
    with pytest.raises(CorralError):
        open_fetched_file(tmp_path / "alias", "model")
    os.close(open_fetched_file(folder, "model"))
