"""The digest of a library: noted once, and hashed again as soon as anything about the file differs.

Every mistake here is a start that takes a vulnerable engine for a good one.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from corral.advisories.library_digest import library_digest

CONTENT = b"an engine"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "engine.so"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "note.json"


def test_a_digest_is_noted_and_taken_from_the_note(library: Path, note: Path) -> None:
    assert library_digest(str(library), note) == DIGEST
    document = json.loads(note.read_bytes())
    note.write_text(json.dumps({**document, "sha256": "as noted"}))
    assert library_digest(str(library), note) == "as noted"
    assert library_digest(str(library)) == DIGEST


def test_other_content_of_the_same_size_and_time_is_hashed(library: Path, note: Path) -> None:
    library_digest(str(library), note)
    told = library.stat()
    library.write_bytes(CONTENT[::-1])
    os.utime(library, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert library_digest(str(library), note) == hashlib.sha256(CONTENT[::-1]).hexdigest()


def test_another_file_in_its_place_is_hashed(library: Path, note: Path) -> None:
    library_digest(str(library), note)
    other = library.with_name("other.so")
    other.write_bytes(b"or so")
    other.replace(library)
    assert library_digest(str(library), note) == hashlib.sha256(b"or so").hexdigest()


@pytest.mark.parametrize("field", ["path", "device", "inode", "size", "changed_ns"])
def test_a_note_of_another_file_counts_for_nothing(library: Path, note: Path, field: str) -> None:
    library_digest(str(library), note)
    document = json.loads(note.read_bytes())
    other = document[field] + ("x" if field == "path" else 1)
    note.write_text(json.dumps({**document, field: other, "sha256": "forged"}))
    assert library_digest(str(library), note) == DIGEST


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"sha256": "x"}', "\xff"])
def test_a_note_that_is_none_counts_for_nothing(library: Path, note: Path, text: str) -> None:
    note.write_text(text, encoding="latin-1")
    assert library_digest(str(library), note) == DIGEST
    assert json.loads(note.read_bytes())["sha256"] == DIGEST


def test_a_note_that_cannot_be_written_costs_only_time(library: Path, tmp_path: Path) -> None:
    assert library_digest(str(library), tmp_path / "none" / "note.json") == DIGEST
