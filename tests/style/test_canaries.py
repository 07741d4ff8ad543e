"""The search for canaries finds them: a suite that searches badly would pass."""

from __future__ import annotations

import base64
import codecs
import os
from pathlib import Path

import pytest

from tests.support.canaries import (
    descendants,
    marks_in,
    marks_in_file,
    marks_in_memory,
    new_canaries,
)
from tests.support.encoded_canaries import encoded_canaries_in

MARKS = new_canaries(2)
FOUND = {one.encode() for one in MARKS}


@pytest.mark.parametrize("encoding", ["ascii", "utf-16-le", "utf-16-be"])
def test_marks_are_found_in_bytes(encoding: str) -> None:
    text = f"a {MARKS[0]} b{MARKS[1]}"
    assert marks_in(text.encode(encoding)) == FOUND
    assert marks_in(text.lower().encode(encoding)) == FOUND
    assert marks_in(b"ZQX and zqx0123 and nothing more") == set()


def test_marks_are_found_in_files_and_in_memory(tmp_path: Path) -> None:
    held = f"{MARKS[0]} {MARKS[1]}" * 1000
    (tmp_path / "file").write_text(held)
    os.mkfifo(tmp_path / "pipe")
    assert marks_in_file(tmp_path / "file") == FOUND
    assert marks_in_file(tmp_path / "pipe") == marks_in_file(tmp_path / "none") == set()
    assert marks_in_memory(os.getpid()) >= FOUND


def test_the_processes_below_one_are_found() -> None:
    assert os.getpid() not in descendants(os.getpid())
    assert len(descendants(1)) > 3


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_encoded_marks_are_found(before: str) -> None:
    text = f"{before}{MARKS[0]} and more"
    forms = [
        text.encode(), text.lower().encode(), text.encode("utf-16-le"), text[::-1].encode(),
        text.encode().hex().encode(), codecs.encode(text, "rot13").encode(),
        base64.b64encode(text.encode()),
        "".join(f"%{one:02X}" for one in text.encode()).encode(),
        "".join(chr(0xE0000 + ord(one)) for one in text).encode(),
    ]  # fmt: skip
    for form in forms:
        assert encoded_canaries_in(b"..." + form + b"...", MARKS) == {MARKS[0]}
    assert encoded_canaries_in(b"ZQX" * 1000, MARKS) == set()
