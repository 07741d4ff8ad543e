"""A disk that is too small for a file, for its copy, or while the file comes."""

from __future__ import annotations

import errno
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from corral.admission.fetch.destination import Destinations
from corral.admission.fetch.download import Download, download
from corral.admission.fetch.room import RESERVE_BYTES, check_room, disk_errors
from corral.admission.fetch.web import Web
from corral.core.errors import CorralError
from corral.core.limits import MIB
from tests.support.raw_server import raw_server, tls_context


@pytest.fixture
def small_disk(tmp_path: Path, needs_root: None) -> Iterator[Path]:
    """A file system with 96 MiB: 32 more than are kept free."""
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


def refusal(folder: Path, missing: int, copy: int) -> str:
    try:
        check_room(folder, missing_bytes=missing, copy_bytes=copy)
    except CorralError as error:
        assert error.code == "no_space"
        return error.message
    return ""


def test_the_copy_and_the_reserve_count(small_disk: Path) -> None:
    assert RESERVE_BYTES == 64 * MIB
    assert refusal(small_disk, 30 * MIB, 0) == ""
    assert refusal(small_disk, 15 * MIB, 15 * MIB) == ""
    assert "124 MiB are needed, 96 MiB are free" in refusal(small_disk, 30 * MIB, 30 * MIB)


@pytest.mark.claim("FET-03")
def test_a_body_of_unknown_length_stops_before_the_disk_is_full(small_disk: Path) -> None:
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    most = 0

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))

    def moved(done: int, total: int, ready: int) -> None:
        nonlocal most
        most = done

    with raw_server(answer, tls_context(ca, "localhost")) as port:
        place = (f"localhost:{port}",)
        wanted = Download(
            url=f"https://{place[0]}/", target=small_disk / "m", max_bytes=1 << 40, sha256=""
        )
        with (
            Web(Destinations(place, place), ca.cert_pem.bytes().decode()) as web,
            pytest.raises(CorralError) as caught,
        ):
            download(web, wanted, moved)
    assert caught.value.code == "no_space"
    assert 32 * MIB <= most < 64 * MIB
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_write_that_fails_for_room(number: int) -> None:
    with pytest.raises(CorralError) as caught, disk_errors():
        raise OSError(number, "full")
    assert caught.value.code == "no_space"
    with pytest.raises(PermissionError), disk_errors():
        raise PermissionError(errno.EPERM, "not that")
