"""Lock files: read strictly, written so that the same models give the same text."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.admission.lock_file import (
    Lock,
    LockedModel,
    LockedSigner,
    check_writable,
    format_lock,
    parse_lock,
    read_lock,
    update_lock,
)
from corral.core.errors import CorralError

SHA = "a" * 64
SIGNER = LockedSigner(
    name="alice", kind="key", fingerprint="sha256:" + "b" * 64, signature="./m.sig",
)  # fmt: skip
PLAIN = LockedModel(source="hf://o/r/m.gguf@main", sha256=SHA, size_bytes=7, revision="c0ffee")
SIGNED = LockedModel(source='./m \\ "x".gguf', sha256=SHA, size_bytes=0, signed_by=SIGNER)


def code_of(text: str) -> str:
    with pytest.raises(CorralError) as caught:
        parse_lock(text.encode())
    assert caught.value.message.isprintable()
    return caught.value.code


def test_what_is_written_is_read_again() -> None:
    lock = Lock(1, {"b:1": SIGNED, "a": PLAIN})
    text = format_lock(lock)
    assert parse_lock(text.encode()) == lock
    assert text.index('[models."a"]') < text.index('[models."b:1"]')
    assert format_lock(Lock(1, {"a": PLAIN, "b:1": SIGNED})) == text


printable = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\"\\'#\n\t\x7f"), min_size=1
)


@given(printable)
def test_no_text_leaves_its_place(text: str) -> None:
    lock = Lock(1, {"m": LockedModel(source=text[:2048], sha256=SHA, size_bytes=1)})
    assert parse_lock(format_lock(lock).encode()) == lock
    assert set(tomllib.loads(format_lock(lock))) == {"version", "models"}


GOOD = format_lock(Lock(1, {"m": PLAIN}))


@pytest.mark.claim("ADM-41")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version = 1", "version = 2"),
        ("version = 1", "version = 1\nextra = 1"),
        ("version = 1\n", ""),
        ("size_bytes = 7", "size_bytes = 7\nsha512 = 'x'"),
        ("size_bytes = 7", "size_bytes = -1"),
        ("size_bytes = 7", "size_bytes = '7'"),
        ("size_bytes = 7\n", ""),
        (SHA, SHA.upper()),
        (SHA, SHA[:-1]),
        ('"m"', '"../m"'),
        ('"c0ffee"', '"main"'),
        ("size_bytes = 7", "size_bytes = 7\nsigned_by = { name = 'a', kind = 'key', who = 1 }"),
        ("size_bytes = 7", "size_bytes = 7\nsize_bytes = 8"),
        ("version = 1", "version = "),
        ("version = 1", "version = 1 # \udcff"),
    ],
    ids=[
        "version", "top key", "no version", "model key", "negative", "text for a number",
        "no size", "capitals", "short", "name", "revision", "signer key", "twice", "no TOML",
        "no UTF-8",
    ],
)  # fmt: skip
def test_what_is_not_as_it_must_be_is_an_error(old: str, new: str) -> None:
    assert old in GOOD
    broken = GOOD.replace(old, new)
    with pytest.raises(CorralError) as caught:
        parse_lock(broken.encode(errors="surrogateescape"))
    assert caught.value.code == "lock_malformed"
    assert caught.value.message.isprintable()
    assert parse_lock(GOOD.encode()).models == {"m": PLAIN}


def test_bounds_and_files(tmp_path: Path) -> None:
    assert code_of("#" * (5 << 20)) == "lock_malformed"
    assert code_of("a = " + "[" * 100_000) == "lock_malformed"
    path = tmp_path / "corral.lock"
    with pytest.raises(CorralError, match="lock_missing"):
        read_lock(path)
    with pytest.raises(CorralError, match="lock_unreadable"):
        read_lock(tmp_path)
    update_lock(path, {"m": PLAIN})
    update_lock(path, {"n": SIGNED})
    assert read_lock(path).models == {"m": PLAIN, "n": SIGNED}
    assert [one.name for one in tmp_path.iterdir()] == ["corral.lock"]
    path.write_text("version = 3")
    with pytest.raises(CorralError, match="lock_malformed"):
        update_lock(path, {"m": PLAIN})
    for nowhere in (tmp_path, tmp_path / "none" / "corral.lock"):
        with pytest.raises(CorralError, match="lock_unwritable"):
            check_writable(nowhere)
        with pytest.raises(CorralError, match="lock_unwritable"):
            update_lock(tmp_path / "none" / "corral.lock", {})
