"""Canaries: marks that can be told from anything else, and where they are searched for."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = re.compile(rb"ZQX[0-9A-F]{8}")
_CHUNK = 1 << 20


def new_canaries(count: int) -> list[str]:
    """Return so many marks that nobody can guess."""
    return [f"ZQX{secrets.token_hex(4).upper()}" for _ in range(count)]


def marks_in(data: bytes) -> set[bytes]:
    """Return every canary in some bytes: as text or as UTF-16; in capitals, or all in small."""
    found: set[bytes] = set()
    for start in (b"ZQX", b"zqx", b"Z\0Q\0X", b"z\0q\0x"):
        if start in data:  # much faster than a pattern, over the memory of whole processes
            found |= set(MARK.findall(data.replace(b"\0", b"").upper()))
    return found


def marks_in_file(path: Path) -> set[bytes]:
    """Return every canary in a plain file; nothing if it has just gone."""
    with suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode):
            return marks_in(path.read_bytes())
    return set()


def marks_in_memory(pid: int) -> set[bytes]:
    """Return every canary in the memory that a process can write, its stacks and heaps."""
    found: set[bytes] = set()
    with (
        open(f"/proc/{pid}/maps", encoding="utf-8") as maps,
        open(f"/proc/{pid}/mem", "rb", buffering=0) as memory,
    ):
        for start, end in _writable(maps.read()):
            for at in range(start, end, _CHUNK):
                with suppress(OSError):  # a guard page, or it was unmapped meanwhile
                    memory.seek(at)
                    found |= marks_in(memory.read(min(_CHUNK, end - at) + 64))
    return found


def _writable(maps: str) -> Iterator[tuple[int, int]]:
    for line in maps.splitlines():
        place, rights, *_ = line.split()
        if rights.startswith("rw"):
            start, end = (int(one, 16) for one in place.split("-"))
            yield start, end


def descendants(pid: int) -> dict[int, str]:
    """Return a process and everything below it: pid to its command line."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(stat[1])
                commands[int(folder.name)] = (
                    (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                )
    found = {pid}
    while grown := {one for one, parent in parents.items() if parent in found} - found:
        found |= grown
    return {one: commands[one] for one in found if one in commands and one != os.getpid()}
