"""fs-verity: let the kernel check each page of a blob against a hash tree that nobody can change.

Trust: operator side. Input: descriptors of our own files. Sources: linux/fsverity.h,
Documentation/filesystems/fsverity.rst. Where the file system, the kernel or the owner's rights do
not allow it, the answer says so and nothing changes.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from typing import Final

_ENABLE: Final = 0x40806685
"""_IOW('f', 133, struct fsverity_enable_arg)"""
_MEASURE: Final = 0xC0046686
"""_IOWR('f', 134, struct fsverity_digest)"""
_SHA256: Final = 1
_SHA256_BYTES: Final = 32
_BLOCK_BYTES: Final = 4096
_ENABLE_ARGUMENT: Final = struct.pack(
    "=IIIIQIIQ88x", 1, _SHA256, _BLOCK_BYTES, 0, 0, 0, 0, 0
)  # version, hash, block, salt, signature; the rest is reserved


def enable_verity(fd: int) -> bool:
    """Seal a file for ever, and return whether it is; one that is sealed already counts.

    Args:
        fd: opened for reading only; nobody may have it open for writing.
    """
    mode = os.fstat(fd).st_mode & 0o777
    with suppress(OSError):
        os.fchmod(fd, mode | 0o200)  # its owner must be allowed to write, though nobody does
    try:
        with suppress(OSError):
            fcntl.ioctl(fd, _ENABLE, _ENABLE_ARGUMENT)
    finally:
        with suppress(OSError):
            os.fchmod(fd, mode)
    return bool(measure_verity(fd))


def measure_verity(fd: int) -> str:
    """Return the hexadecimal SHA-256 that the kernel holds the file to; empty if there is none."""
    asked = bytearray(struct.pack("=HH", 0, _SHA256_BYTES) + bytes(_SHA256_BYTES))
    try:
        fcntl.ioctl(fd, _MEASURE, asked)
    except OSError:
        return ""
    algorithm, size = struct.unpack_from("=HH", asked)
    if (algorithm, size) != (_SHA256, _SHA256_BYTES):
        return ""
    return asked[4:].hex()
