"""fs-verity: blobs are sealed where the host can, and a seal that is gone is told."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.admission.catalog_changes import remove_entry
from corral.admission.fsck import check_store
from corral.admission.store import verity_marks
from corral.admission.verity_unsafe import enable_verity, measure_verity
from corral.core.home import Home
from tests.unit.admission.conftest import Pull

MEASURED = "ab" * 32


class Kernel:
    """A kernel with fs-verity, or without: what it is asked, and what it answers.

    Attributes:
        answer: what `FS_IOC_MEASURE_VERITY` writes; None refuses everything.
    """

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.asked: list[tuple[int, int, int]] = []

    def ioctl(self, fd: int, request: int, argument: bytes | bytearray) -> int:
        self.asked.append((request, len(argument), os.fstat(fd).st_mode & 0o777))
        if self.answer is None:
            raise OSError(errno.EOPNOTSUPP, "no")
        if isinstance(argument, bytearray):
            argument[: len(self.answer)] = self.answer
        return 0


SEALED = b"\x01\x00\x20\x00" + bytes.fromhex(MEASURED)


@pytest.fixture
def blob(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "blob"
    path.write_bytes(b"x")
    path.chmod(0o444)
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def sealing_disk(tmp_path: Path, needs_root: None) -> Iterator[Path]:
    """An ext4 with the verity feature, on a loop device."""
    image, mount = tmp_path / "disk", tmp_path / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    subprocess.run(["mkfs.ext4", "-q", "-O", "verity", image], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, mount], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("this kernel mounts no file system with fs-verity")
    try:
        if not Path("/sys/fs/ext4/features/verity").exists():
            pytest.skip("this kernel has no fs-verity")
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.hardware("a kernel with fs-verity")
def test_a_file_is_sealed_by_a_kernel_that_can(sealing_disk: Path) -> None:
    path = sealing_disk / "blob"
    path.write_bytes(b"x" * 10_000)
    path.chmod(0o444)
    fd = os.open(path, os.O_RDONLY)
    try:
        assert enable_verity(fd)
        assert len(measure_verity(fd)) == 64
    finally:
        os.close(fd)
    path.chmod(0o644)
    with pytest.raises(OSError, match="Operation not permitted"):
        path.open("r+b")


def test_where_there_is_none_nothing_changes(blob: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "ioctl", Kernel(None).ioctl)
    assert not enable_verity(blob)
    assert measure_verity(blob) == ""
    assert os.fstat(blob).st_mode & 0o777 == 0o444


def test_what_the_kernel_is_asked(blob: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(SEALED)
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    assert enable_verity(blob)
    assert measure_verity(blob) == MEASURED
    # The sizes are those of the kernel's structures, and the mode allows it only meanwhile.
    assert kernel.asked[:2] == [(0x40806685, 128, 0o644), (0xC0046686, 36, 0o444)]


def test_another_hash_than_sha256_does_not_count(
    blob: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "ioctl", Kernel(b"\x02\x00\x40\x00").ioctl)
    assert measure_verity(blob) == ""


@pytest.mark.claim("STO-05")
def test_a_seal_is_noted_and_one_that_is_gone_is_told(
    home: Home, pull: Pull, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(SEALED)
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    entry = pull(model_file)
    mark = verity_marks(home) / entry.digest
    assert mark.read_text() == MEASURED
    assert check_store(home).troubles == ()
    kernel.answer = None
    assert [trouble.kind for trouble in check_store(home).troubles] == ["verity"]
    remove_entry(home, entry.name)
    assert not mark.exists()
