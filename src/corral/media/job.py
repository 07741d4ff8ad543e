"""The job of a media jail: decode the files of one request, one after the other, then end.

Trust: media jail (no network, no file but its image and an empty /tmp, nobody else's bytes).
Input: files on stdin. Nothing that a decoder says leaves it: an answer is numbers or a kind.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import BinaryIO

from corral.media.formats import IMAGES, SOUNDS, sniff
from corral.media.layout import MalformedError, TooLargeError, read_layout
from corral.media.polyglot import is_polyglot
from corral.media.wire import HEADER_BYTES, Found, Image, Refusal, Refused, Sound, Task


def main() -> int:
    """Serve on stdin and stdout; return the exit code."""
    return serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(tasks: BinaryIO, answers: BinaryIO) -> int:
    """Answer until `tasks` ends."""
    import msgspec

    while line := tasks.readline(HEADER_BYTES):
        task = msgspec.json.decode(line, type=Task)
        data = tasks.read(task.length)
        if len(data) < task.length:
            break  # who asked has gone
        said, numbers = answer(task, data)
        answers.write(msgspec.json.encode(said) + b"\n")
        answers.write(numbers)
        answers.flush()
    return 0


def answer(task: Task, data: bytes) -> tuple[Image | Sound | Refused, bytes]:
    """Return what is said of one file, and the numbers that go with it."""
    if sniff(data) != task.format:
        return Refused("media_type"), b""
    kind: Refusal
    try:
        return _decoded(task, data)
    except (TooLargeError, MemoryError):
        kind = "media_too_large"
    except Exception:
        kind = "media_malformed"
    return Refused(kind), b""


def _decoded(task: Task, data: bytes) -> tuple[Image | Sound, bytes]:
    layout = read_layout(task.format, data)
    if layout.pixels > task.pixels_max:
        raise TooLargeError
    found: list[Found] = []
    if layout.pictures > 1:
        found.append("media_animated")
    if is_polyglot(data, layout.end):
        found.append("media_polyglot")
    if layout.metadata:
        found.append("media_metadata")
    own = data[: layout.end]  # what is behind is no decoder's to see
    if task.format in IMAGES:
        from corral.media.image import read_image

        pixels = read_image(
            task.format, own, pixels_max=task.pixels_max, side_max=task.side_max
        )  # fmt: skip
        said = Image(
            pixels.width, pixels.height, pixels.was_width, pixels.was_height, found, _peak_bytes()
        )
        return said, pixels.rgb
    if task.format in SOUNDS:
        from corral.media.sound import read_sound

        samples = read_sound(task.format, own, seconds_max=task.seconds_max)
        count = len(samples.pcm) // 2
        return Sound(
            count, samples.was_rate, samples.was_channels, found, _peak_bytes()
        ), samples.pcm
    raise MalformedError


def _peak_bytes() -> int:
    """Return the highest resident memory of this process; 0 where the kernel does not tell it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) << 10 if found else 0
