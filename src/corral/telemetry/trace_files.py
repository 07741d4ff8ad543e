"""The files of traces: some of bounded size, the oldest goes when there are too many.

Trust: one thread of the gateway [net] writes; operator side reads files that the gateway's zone can
write: no link is followed, nothing but a plain file is read, and no line beyond its bound.

    FOLDER/traces-00000001.jsonl

A line is one write, so that whoever follows a file sees whole lines; what cannot be written whole
is cut off again. Nobody waits for the disk: a trace is no evidence.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.core.limits import KIB, MIB

FILE_BYTES: Final = 16 * MIB
LINE_BYTES: Final = 64 * KIB
"""More than a trace has."""
_NAME: Final = re.compile(r"traces-([0-9]{8})\.jsonl")
_NOT_PLAIN: Final = {errno.ELOOP, errno.ENXIO, errno.EISDIR}
"""What opening a link, a pipe without a reader, or a folder says."""
_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def trace_file(folder: Path, number: int) -> Path:
    """Return the path of one file."""
    return folder / f"traces-{number:08d}.jsonl"


def list_trace_files(folder: Path) -> list[int]:
    """Return the numbers of the files that are there, oldest first.

    Raises:
        OSError: the folder cannot be read.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208 - the gateway's jail has this call alone
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, names) if match)


def read_traces(folder: Path) -> Iterator[bytes]:
    """Yield the lines that are there, without their ends, oldest first.

    Raises:
        CorralError: code `traces_unsafe`: a file is not a plain file.
        OSError: a file cannot be read.
    """
    for number in list_trace_files(folder):
        for line, _ in _lines(trace_file(folder, number), 0):
            yield line


def follow_traces(folder: Path, *, poll_s: float = 0.2) -> Iterator[bytes]:
    """Yield what is written from now on, without end.

    Raises:
        CorralError, OSError: as `read_traces`.
    """
    number = max(list_trace_files(folder), default=0)
    offset = trace_file(folder, number).lstat().st_size if number else 0
    while True:
        for later in [one for one in list_trace_files(folder) if one >= number]:
            number, offset = later, offset if later == number else 0
            for line, end in _lines(trace_file(folder, later), offset):
                offset = end
                yield line
        time.sleep(poll_s)


def _lines(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """Yield each whole line and where it ends; one that is too long is left out."""
    try:
        fd = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # it was the oldest, and too many
    with os.fdopen(fd, "rb") as file:
        file.seek(offset)
        whole = True
        for piece in iter(lambda: file.readline(LINE_BYTES), b""):
            ends = piece.endswith(b"\n")
            if whole and ends:
                yield piece[:-1], file.tell()
            whole = ends


class TraceWriter:
    """The open end of the files. For one thread.

    Args:
        folder: where they are.
        files: how many are kept, at least one.
        file_bytes: after which a new one is begun.
    """

    def __init__(self, folder: Path, files: int, file_bytes: int = FILE_BYTES) -> None:
        self._folder = folder
        self._files = files
        self._file_bytes = file_bytes
        self._fd = -1
        self._size_bytes = 0
        self._number = 0

    def write(self, line: bytes) -> None:
        """Append a line with its end.

        Raises:
            OSError, CorralError: nothing of it is in a file.
        """
        if self._fd < 0:
            self._take_up()
        elif self._size_bytes + len(line) > self._file_bytes:
            self._begin()
        try:
            written = 0
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError:
            self._cut_off()
            raise
        self._size_bytes += len(line)

    def close(self) -> None:
        """Close the file; the next line opens one again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _take_up(self) -> None:
        """Go on in the newest file, unless it is full or does not end with a whole line."""
        self._number = max(list_trace_files(self._folder), default=0)
        if self._number:
            try:
                self._fd = _open(trace_file(self._folder, self._number), os.O_RDWR | os.O_APPEND)
            except (OSError, CorralError):
                self._begin()
                return
            self._size_bytes = os.fstat(self._fd).st_size
            last = os.pread(self._fd, 1, self._size_bytes - 1) if self._size_bytes else b"\n"
            if self._size_bytes < self._file_bytes and last == b"\n":
                return
        self._begin()

    def _begin(self) -> None:
        self.close()
        self._number += 1
        path = trace_file(self._folder, self._number)
        self._fd = _open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        self._size_bytes = 0
        for number in list_trace_files(self._folder)[: -self._files]:
            with contextlib.suppress(OSError):  # somebody else took it, or it is no file
                trace_file(self._folder, number).unlink()

    def _cut_off(self) -> None:
        """Undo what a failed write left; if that fails too, the next line has a file of its own."""
        try:
            os.ftruncate(self._fd, self._size_bytes)
        except OSError:
            self.close()


def _open(path: Path, flags: int) -> int:
    fd = -1
    try:
        fd = os.open(path, flags | _FLAGS, 0o600)
        plain = stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError as error:
        if error.errno not in _NOT_PLAIN:
            raise
        plain = False
    if not plain:
        if fd >= 0:
            os.close(fd)
        raise CorralError("traces_unsafe", "a file of traces is not a plain file")
    return fd
