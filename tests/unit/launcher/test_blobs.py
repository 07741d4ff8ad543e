"""Only a regular file that nobody but the operator can write is ever opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, pair_digest
from corral.launcher import blobs
from corral.launcher.blobs import (
    open_beside,
    open_blob,
    open_candidate,
    open_pair,
    open_read_only,
    read_pair_trust,
    read_trust,
)

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, attribute in (("store", "STORE"), ("quarantine", "QUARANTINE")):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(blobs, attribute, tmp_path / name)
    return tmp_path


def place(path: Path, mode: int = 0o444) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"GGUF")
    path.chmod(mode)
    return path


def code_of(attempt: Callable[[], object]) -> str:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(CorralError) as caught:
        attempt()
    assert len(os.listdir("/proc/self/fd")) == before
    return caught.value.code


@pytest.mark.parametrize(("quarantined", "folder"), [(False, "store"), (True, "quarantine/blobs")])
def test_a_blob_of_the_store_or_of_the_quarantine(
    stage: Path, quarantined: bool, folder: str
) -> None:
    place(stage / folder / DIGEST)
    fd = open_blob(DIGEST, quarantined=quarantined)
    assert os.read(fd, 9) == b"GGUF"
    assert not os.get_inheritable(fd)
    with pytest.raises(OSError, match="Bad file"):
        os.write(fd, b"x")
    os.close(fd)
    assert code_of(lambda: open_blob(DIGEST, quarantined=not quarantined)) == "model_missing"


@pytest.mark.claim("LCH-03")
@pytest.mark.parametrize("name", ["", "../store", DIGEST + "0", DIGEST[:-1] + "/"])
def test_a_digest_is_checked_before_it_is_a_path(stage: Path, name: str) -> None:
    assert code_of(lambda: open_blob(name, quarantined=False)) == "bad_digest"


@pytest.mark.parametrize("name", ["file.gguf", "scan-1/file", "a_b/0.x"])
def test_candidates(stage: Path, name: str) -> None:
    file = place(stage / "quarantine" / name)
    fd = open_candidate(name)
    assert os.path.samestat(os.fstat(fd), file.stat())
    os.close(fd)


@pytest.mark.parametrize("name", ["", ".hidden", "../a", "a/../b", "a/b/c", "/etc/passwd", "a..b"])
def test_candidates_that_are_no_names(stage: Path, name: str) -> None:
    assert code_of(lambda: open_candidate(name)) == "model_missing"


@pytest.mark.claim("LCH-03")
@given(st.text("ab./-_\0", max_size=12))
def test_no_name_leads_out_of_the_quarantine(name: str) -> None:
    try:
        fd = open_candidate(name)
    except CorralError as error:
        assert error.code in {"model_missing", "model_unsafe"}
    else:
        path = os.readlink(f"/proc/self/fd/{fd}")
        os.close(fd)
        assert Path(path).is_relative_to(blobs.QUARANTINE)


@pytest.mark.claim("LCH-04")
def test_a_link_is_not_followed(stage: Path) -> None:
    target = place(stage / "target")
    (stage / "store" / DIGEST).symlink_to(target)
    assert code_of(lambda: open_blob(DIGEST, quarantined=False)) == "model_missing"


def test_a_folder(stage: Path) -> None:
    assert code_of(lambda: open_read_only(str(stage / "store"))) == "model_unsafe"


def test_a_pipe_does_not_stall(stage: Path) -> None:
    os.mkfifo(stage / "pipe", 0o400)
    assert code_of(lambda: open_read_only(str(stage / "pipe"))) == "model_unsafe"


@pytest.mark.claim("LCH-04")
def test_a_device() -> None:
    assert code_of(lambda: open_read_only("/dev/null")) == "model_unsafe"


@pytest.mark.claim("LCH-04")
@pytest.mark.parametrize("mode", [0o464, 0o446, 0o666])
def test_a_file_that_others_can_write(stage: Path, mode: int) -> None:
    file = place(stage / "file", mode)
    assert code_of(lambda: open_read_only(str(file))) == "model_unsafe"


@pytest.mark.claim("LCH-04")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_file_of_somebody_else(stage: Path) -> None:
    file = place(stage / "file")
    os.chown(file, 12345, 12345)
    assert code_of(lambda: open_read_only(str(file))) == "model_unsafe"


@pytest.mark.claim("HOST-03")
@pytest.mark.parametrize(
    ("content", "mode", "trust"),
    [
        (b"verified", 0o444, "verified"),
        (b"trusted\n", 0o444, "trusted"),
        (b"untrusted", 0o444, "untrusted"),
        (b"VERIFIED", 0o444, "untrusted"),
        (b"\xff\xfe", 0o444, "untrusted"),
        (b"trusted" + b" " * 20 + b"x", 0o444, "trusted"),
        (b"", 0o444, "untrusted"),
        (b"trusted", 0o666, "untrusted"),
        (None, 0, "untrusted"),
    ],
)
def test_a_trust_level_is_what_the_operator_alone_could_write(
    tmp_path: Path, content: bytes | None, mode: int, trust: str
) -> None:
    home = Home(tmp_path)
    home.trust_marks.mkdir(parents=True)
    if content is not None:
        home.trust_mark(Digest(DIGEST)).write_bytes(content)
        home.trust_mark(Digest(DIGEST)).chmod(mode)
    assert read_trust(home, DIGEST) == trust


def test_a_trust_level_is_asked_for_by_a_digest(tmp_path: Path) -> None:
    assert code_of(lambda: read_trust(Home(tmp_path), "../../etc/passwd")) == "bad_digest"


def test_a_folder_beside(stage: Path) -> None:
    folder = stage / "quarantine" / "scan-1"
    place(folder / "part-0")
    (folder / "link").symlink_to("/etc/passwd")
    fd, size_bytes = open_beside("scan-1")
    assert os.readlink(f"/proc/self/fd/{fd}") == str(folder)
    os.close(fd)
    assert size_bytes == 4 + len("/etc/passwd"), "a link counts as itself"


@pytest.mark.claim("LCH-03")
def test_folders_beside_that_are_none(stage: Path) -> None:
    quarantine = stage / "quarantine"
    place(quarantine / "scan-1" / "part-0")
    (quarantine / "link").symlink_to("scan-1")
    (quarantine / "open").mkdir()
    (quarantine / "open").chmod(0o777)
    place(quarantine / "file")
    for name, code in (
        ("", "bad_folder"), ("..", "bad_folder"), ("scan-1/a", "bad_folder"),
        ("absent", "bad_folder"), ("link", "bad_folder"), ("file", "bad_folder"),
        ("open", "model_unsafe"),
    ):  # fmt: skip
        assert code_of(lambda name=name: open_beside(name)) == code, name  # type: ignore[misc]


OVER = "f" * 64


def test_a_pair_is_opened_whole_or_not_at_all(stage: Path) -> None:
    place(stage / "store" / DIGEST)
    fd, none = open_pair(DIGEST, "", quarantined=False)
    os.close(fd)
    assert none == -1
    assert code_of(lambda: open_pair(DIGEST, OVER, quarantined=False)) == "model_missing"
    place(stage / "store" / OVER, mode=0o666)
    assert code_of(lambda: open_pair(DIGEST, OVER, quarantined=False)) == "model_unsafe"
    place(stage / "store" / OVER)
    fds = open_pair(DIGEST, OVER, quarantined=False)
    names = [os.readlink(f"/proc/self/fd/{fd}").rpartition("/")[2] for fd in fds]
    assert names == [DIGEST, OVER]
    for fd in fds:
        os.close(fd)


@pytest.mark.claim("DRV-08")
def test_only_a_pair_that_admission_noted_is_started(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.trust_marks.mkdir(parents=True)
    home.trust_mark(Digest(DIGEST)).write_text("trusted")
    home.trust_mark(Digest(OVER)).write_text("trusted")
    pair = (DIGEST, OVER, "1000")
    assert code_of(lambda: read_pair_trust(home, *pair)) == "adapter_not_admitted"
    mark = home.trust_mark(pair_digest(Digest(DIGEST), Digest(OVER), "1000"))
    for mine, base, found in (
        ("trusted", "trusted", "trusted"), ("verified", "trusted", "verified"),
        ("trusted", "untrusted", "untrusted"), ("nonsense", "trusted", "untrusted"),
    ):  # fmt: skip
        mark.write_text(mine)
        home.trust_mark(Digest(DIGEST)).write_text(base)
        assert read_pair_trust(home, *pair) == found
    for other in ((DIGEST, OVER, "999"), (OVER, DIGEST, "1000"), (DIGEST, DIGEST, "1000")):
        assert code_of(lambda other=other: read_pair_trust(home, *other)) == "adapter_not_admitted"  # type: ignore[misc]
    assert code_of(lambda: read_pair_trust(home, DIGEST, "../x", "1000")) == "bad_digest"
