"""A lock file of somebody's project: refused by its code, or the same after it is written again."""

from __future__ import annotations

from corral.admission.lock_file import format_lock, parse_lock
from corral.core.errors import CorralError
from fuzz.target import Target


def check(data: bytes) -> None:
    """Parse the file, write it, parse that."""
    try:
        lock = parse_lock(data)
    except CorralError as error:
        if error.code != "lock_malformed":
            raise
        return
    if parse_lock(format_lock(lock).encode()) != lock:
        raise AssertionError("a lock file changes when it is written again")


TARGET = Target(
    "lock_file",
    check,
    (
        b"version = 1\n",
        b'version = 1\n[models."smol"]\nsource = "hf://org/repo/m.gguf@main"\nsha256 = "'
        + b"a" * 64
        + b'"\nsize_bytes = 7\nrevision = "0123abcd"\nparts_sha256 = ["' + b"b" * 64 + b'"]\n'
        b'signed_by = { name = "lab", kind = "key", fingerprint = "sha256:' + b"c" * 64
        + b'", identity = "a\\u007f\\"b" }\n',
    ),
)  # fmt: skip
