"""Recognise what a file is that is no GGUF, by its content, and say what to do with it.

Trust: scan jail. Input: untrusted file, of which the head and the tail are looked at as bytes:
nothing is decoded, opened or unpacked, and a name's extension means nothing.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from corral.admission.report import Finding

_HEAD_BYTES: Final = 4096
_TAIL_BYTES: Final = 66 << 10
"""A ZIP archive's last record and the longest comment behind it."""
_CONVERT: Final = "convert it to GGUF in a sandbox without network, or take the publisher's GGUF"
_UNPACK: Final = "unpack it in a sandbox and scan what comes out"


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file.

    Attributes:
        name: what it is.
        advice: what to do.
        found: whether head and tail are of it.
    """

    code: str
    name: str
    advice: str
    found: Callable[[bytes, bytes], bool]


def _starts(*magics: bytes) -> Callable[[bytes, bytes], bool]:
    return lambda head, _: head.startswith(magics)


def _zip_with(*names: bytes) -> Callable[[bytes, bytes], bool]:
    return lambda head, tail: _is_zip(head, tail) and any(n in head or n in tail for n in names)


def _is_zip(head: bytes, _tail: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"))


def _is_safetensors(head: bytes, _tail: bytes) -> bool:
    return len(head) >= 9 and int.from_bytes(head[:8], "little") < 1 << 27 and head[8:9] == b"{"


def _is_pickle(head: bytes, tail: bytes) -> bool:
    framed = len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5
    return framed or (tail.rstrip().endswith(b".") and _OLD_PICKLE.match(head) is not None)


def _is_onnx(head: bytes, _tail: bytes) -> bool:
    return len(head) > 3 and head[0] == 8 and 1 <= head[1] <= 31 and head[2] in _ONNX_FIELDS


def _is_hdf5(head: bytes, _tail: bytes) -> bool:
    return any(head[at : at + 8] == b"\x89HDF\r\n\x1a\n" for at in (0, 512, 1024, 2048))


def _is_tar(head: bytes, _tail: bytes) -> bool:
    if len(head) < 512:
        return False
    if head[257:262] == b"ustar":
        return True
    said = head[148:156].strip(b" \0")
    total = sum(head[:148]) + 8 * 32 + sum(head[156:512])
    return bool(_OCTAL.fullmatch(said)) and int(said, 8) == total


_OCTAL: Final = re.compile(rb"[0-7]{1,7}")
_OLD_PICKLE: Final = re.compile(rb"\(?(?:[cio][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n|[ld]p\d+\n)")
_ONNX_FIELDS: Final = frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42})
_TORCH_LEGACY: Final = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_MARKUP: Final = (b"<!doctype", b"<html", b"<?xml", b'{"')
_RUNS: Final = "opening it runs whatever code it holds; never load it"

_FORMATS: Final = (
    Format("format_lfs_pointer", "a pointer of Git LFS", "fetch the file that it stands for",
           _starts(b"version https://git-lfs")),
    Format("format_ggml_legacy", "a model of before GGUF", "take a newer file of the publisher",
           _starts(b"lmgg", b"fmgg", b"tjgg", b"algg", b"ggml", b"ggmf", b"ggjt", b"ggla")),
    Format("format_llamafile", "a llamafile, which is a program",
           "never start it; take the GGUF that its publisher made it of",
           _starts(b"MZqFpD", b"jartsr")),
    Format("format_pytorch", "a PyTorch checkpoint (pickle)", f"{_RUNS}; {_CONVERT}",
           lambda h, t: h.startswith(_TORCH_LEGACY) or _zip_with(b"data.pkl")(h, t)),
    Format("format_keras", "a Keras model", f"{_RUNS}; {_CONVERT}",
           _zip_with(b"model.weights.h5", b"keras_metadata.pb")),
    Format("format_numpy", "a NumPy file", _CONVERT,
           lambda h, t: h.startswith(b"\x93NUMPY") or _zip_with(b".npy")(h, t)),
    Format("format_zip", "a ZIP archive", _UNPACK, _is_zip),
    Format("format_hdf5", "an HDF5 file (Keras)", f"{_RUNS}; {_CONVERT}", _is_hdf5),
    Format("format_compressed", "a compressed file", _UNPACK,
           _starts(b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c",
                   b"Rar!\x1a\x07", b"\x04\x22\x4d\x18", b"LZIP", b"MSCF")),
    Format("format_tar", "a tar archive", _UNPACK, _is_tar),
    Format("format_executable", "a program", "never start it; ask where it came from",
           _starts(b"\x7fELF", b"MZ", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe",
                   b"\xca\xfe\xba\xbe", b"#!", b"\0asm")),
    Format("format_web_page", "a web page or an error message of a server",
           "the download did not give the file: sign in, or use another address",
           lambda h, _: h.lstrip()[:9].lower().startswith(_MARKUP)),
    Format("format_pickle", "a Python pickle", f"{_RUNS}; {_CONVERT}", _is_pickle),
    Format("format_tflite", "a TensorFlow Lite model", _CONVERT, lambda h, _: h[4:8] == b"TFL3"),
    Format("format_safetensors", "a safetensors file", _CONVERT, _is_safetensors),
    Format("format_onnx", "an ONNX model", _CONVERT, _is_onnx),
)  # fmt: skip
"""The first that fits is it: the surer ones stand before those that only look so."""


def recognise(fd: int) -> tuple[Finding, ...]:
    """Return what else than GGUF an open file is: by its beginning, and by its end."""
    size_bytes = os.fstat(fd).st_size
    head = os.pread(fd, _HEAD_BYTES, 0)
    tail = os.pread(fd, _TAIL_BYTES, max(0, size_bytes - _TAIL_BYTES))
    found: list[Finding] = []
    if not head.startswith(b"GGUF"):
        for one in _FORMATS:
            if one.found(head, tail):
                message = f"the file is {one.name}, not GGUF: {one.advice}"
                found.append(Finding(one.code, "reject", message))
                break
    if head[:2] != b"PK" and ends_as_zip(fd, tail, size_bytes):
        message = "the file is a ZIP archive too: tools that read its end see other content"
        found.append(Finding("polyglot_zip", "reject", message))
    return tuple(found)


def ends_as_zip(fd: int, tail: bytes, size_bytes: int) -> bool:
    """Return whether a ZIP tool, which reads from the end, finds an archive's directory there."""
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        record = tail[at : at + 22]
        if len(record) < 22:
            continue
        entries, length, _offset, comment = struct.unpack("<10xHIIH", record)
        end = size_bytes - len(tail) + at
        if at + 22 + comment == len(tail) and length <= end:
            # Tools allow for bytes before the archive, so the directory lies before this record.
            directory = os.pread(fd, 4, end - length)
            if entries == 0 or directory == b"PK\x01\x02":
                return True
    return False
