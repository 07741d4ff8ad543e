"""What is no GGUF is recognised by its content, whatever it is called, and never opened."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
from dataclasses import replace

import pytest

from tests.support.gguf_file import GgufFile, GgufTensor
from tests.support.scanned import scan, verdict_of

SOUND = GgufFile()


def zipped(*names: str) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name in names:
            # A date of now would be other bytes each time: weights that are NaN, some hours a day.
            archive.writestr(zipfile.ZipInfo(name), b"content")
    return raw.getvalue()


def tarred(form: int) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as archive:
        archive.addfile(tarfile.TarInfo("m.gguf"), None)
    return raw.getvalue()


HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
OTHERS: dict[str, tuple[str, bytes]] = {
    **{f"pickle {n}": ("format_pickle", pickle.dumps([1, print], n)) for n in (2, 3, 4, 5)},
    "pickle 0": ("format_pickle", pickle.dumps(print, 0)),
    "pickle 1": ("format_pickle", pickle.dumps(print, 1)),
    "PyTorch": ("format_pytorch", zipped("archive/data.pkl", "archive/data/0")),
    "PyTorch, old": (
        "format_pytorch", pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2),
    ),
    "Keras 3": ("format_keras", zipped("metadata.json", "config.json", "model.weights.h5")),
    "HDF5": ("format_hdf5", b"\x89HDF\r\n\x1a\n" + b"\0" * 600),
    "HDF5 behind a user block": (
        "format_hdf5", b"\0" * 512 + b"\x89HDF\r\n\x1a\n" + b"\0" * 600,
    ),
    "NumPy": ("format_numpy", b"\x93NUMPY\x01\x00" + b"\0" * 100),
    "NumPy archive": ("format_numpy", zipped("w.npy")),
    "safetensors": ("format_safetensors", struct.pack("<Q", len(HEADER)) + HEADER + b"\0" * 4),
    "ONNX": ("format_onnx", b"\x08\x07\x12\x07pytorch\x1a\x031.9" + b"\0" * 20),
    "TensorFlow Lite": ("format_tflite", b"\x1c\0\0\0TFL3" + b"\0" * 40),
    "ZIP": ("format_zip", zipped("m.gguf")),
    "ZIP, empty": ("format_zip", zipped()),
    "tar": ("format_tar", tarred(tarfile.USTAR_FORMAT)),
    "tar of GNU": ("format_tar", tarred(tarfile.GNU_FORMAT)),
    "gzip": ("format_compressed", gzip.compress(SOUND.encode())),
    "bzip2": ("format_compressed", bz2.compress(b"x" * 99)),
    "xz": ("format_compressed", lzma.compress(b"x" * 99)),
    "7z": ("format_compressed", b"7z\xbc\xaf\x27\x1c" + b"\0" * 40),
    "zstd": ("format_compressed", b"\x28\xb5\x2f\xfd" + b"\0" * 40),
    "llamafile": ("format_llamafile", b"MZqFpD='\n" + b"\0" * 100 + SOUND.encode()),
    "ELF": ("format_executable", b"\x7fELF" + b"\0" * 60),
    "script": ("format_executable", b"#!/bin/sh\nrm -rf /\n"),
    "Windows": ("format_executable", b"MZ\x90" + b"\0" * 60),
    "before GGUF": ("format_ggml_legacy", b"tjgg" + b"\0" * 60),
    "LFS pointer": ("format_lfs_pointer", b"version https://git-lfs.github.com/spec/v1\noid x\n"),
    "page": ("format_web_page", b"\n<!DOCTYPE html><html><body>Sign in"),
}  # fmt: skip


@pytest.mark.claim("ADM-31")
@pytest.mark.parametrize(("code", "raw"), OTHERS.values(), ids=OTHERS)
def test_another_format_is_refused_with_advice(code: str, raw: bytes) -> None:
    first, second = scan(raw).findings[:2]
    assert (first.code, second.code) == ("magic", code)
    assert ": " in second.message


@pytest.mark.parametrize("raw", [b"GGU", b"\0" * 5000, b"x" * 5000], ids=["short", "zeros", "text"])
def test_what_is_nothing_known_is_not_called_something(raw: bytes) -> None:
    assert [f.code for f in scan(raw).findings] in (["magic"], ["truncated"])


@pytest.mark.claim("ADM-31")
def test_an_archive_behind_a_model_is_refused_as_both() -> None:
    codes = [f.code for f in scan(SOUND.encode() + zipped("evil.sh")).findings]
    assert codes == ["trailing_bytes", "polyglot_zip"]


@pytest.mark.claim("ADM-31")
def test_an_archive_inside_the_last_tensor_is_refused() -> None:
    archive = zipped("evil.sh")
    size = -(-len(archive) // 288) * 288  # whole blocks of Q4_0, aligned
    data = b"\0" * (size - len(archive)) + archive
    hidden = GgufTensor("rope_freqs.weight", (size // 18 * 32,), 2, size_bytes=size, data=data)
    file = replace(SOUND, tensors=(*SOUND.tensors, hidden))
    assert verdict_of(scan(file.encode())) == ("reject", "polyglot_zip")
    harmless = replace(hidden, data=data.replace(b"PK\x01\x02", b"PK\x01\x09"))
    control = replace(SOUND, tensors=(*SOUND.tensors, harmless))
    assert verdict_of(scan(control.encode())) == ("accept", "")


def test_an_archive_that_begins_as_a_model_is_refused() -> None:
    codes = [f.code for f in scan(b"GGUF" + zipped("evil.sh")).findings]
    assert codes[0] in {"version", "endianness"}
    assert codes[1:] == ["polyglot_zip"]
