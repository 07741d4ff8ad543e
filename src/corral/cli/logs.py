"""`corral logs`: the server's structured log, for people or as it is.

Trust: operator side. Input: log lines; values in them may be untrusted, so they are printed
without control characters. Only the last `_TAIL_BYTES` are ever read at once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from corral.cli.options import HomeOption
from corral.cli.terminal import plain_line
from corral.core.errors import CorralError
from corral.core.home import Home

_TAIL_BYTES: Final = 4 * 1024 * 1024
_POLL_SECONDS: Final = 0.2


def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")
    ] = 50,
    home: HomeOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the lines as they are: one JSON object each.")
    ] = False,
) -> None:
    """Show the server's log. It never holds prompts, answers or keys.

    Example: corral logs -f -n 20
    """
    path = Home.locate(home).log_file
    try:
        source = path.open("rb")
    except FileNotFoundError as error:
        raise CorralError(
            "no_log", "there is no log yet", remedy="start the server: corral up"
        ) from error
    with source:
        for line in last_lines(source, lines):
            _show(line, as_json=as_json)
        if follow:
            try:
                for line in new_lines(path, source):
                    _show(line, as_json=as_json)
            except KeyboardInterrupt:
                return


def last_lines(source: BinaryIO, count: int) -> list[bytes]:
    """Return the last complete lines of an open log and leave the position at its end."""
    size_bytes = source.seek(0, os.SEEK_END)
    source.seek(max(0, size_bytes - _TAIL_BYTES))
    found = source.read(_TAIL_BYTES).splitlines()
    return found[-count:] if count else []


def new_lines(path: Path, source: BinaryIO) -> Iterator[bytes]:
    """Yield lines as they are written; starts over when the file was replaced or emptied."""
    pending = b""
    while True:
        piece = source.read(65536)
        if piece:
            *complete, pending = (pending + piece).split(b"\n")
            yield from complete
            continue
        time.sleep(_POLL_SECONDS)
        try:
            now = path.stat()
        except FileNotFoundError:
            continue
        if now.st_ino != os.fstat(source.fileno()).st_ino:
            with path.open("rb") as fresh:
                os.dup2(fresh.fileno(), source.fileno())
            source.seek(0)
            pending = b""
        elif now.st_size < source.tell():
            source.seek(0)
            pending = b""


def pretty_line(line: bytes) -> str:
    """Return one log line as `time level event key=value ...`, safe for a terminal."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return plain_line(line.decode("utf-8", "replace"))
    moment = record.pop("ts", "")
    level = record.pop("level", "")
    event = record.pop("event", "")
    rest = " ".join(f"{key}={value}" for key, value in record.items())
    return plain_line(f"{moment} {level:<7} {event} {rest}")


def _show(line: bytes, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
    else:
        sys.stdout.write(pretty_line(line) + "\n")
        sys.stdout.flush()
