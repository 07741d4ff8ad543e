"""Talk to a probe program over its pipes: one request in, bounded lines out.

Trust: operator side. Input: see `wire`. Nothing that the program does can make this side hold more
than a few KiB or wait longer than its deadline.
"""

from __future__ import annotations

import json
import os
import selectors
import time
from collections.abc import Mapping
from typing import Final

from corral.selftest.wire import LINE_BYTES, LINES_MAX, ProbeBrokeProtocol, parse_line

_READ_BYTES: Final = 64 << 10


class Results:
    """What a program has said.

    Attributes:
        outcomes: probe -> outcome.
        ended: it said that it was done, and waits.
        broken: why it was cut off; empty if it was not.
    """

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.ended = False
        self.broken = ""

    def take_all(self, lines: list[bytearray], *, trim: bool) -> bool:
        """Note lines; return whether each was one that a probe says."""
        try:
            for line in lines:
                self.take(bytes(line).strip() if trim else bytes(line))
        except ProbeBrokeProtocol:
            return False
        return True

    def take(self, line: bytes) -> None:
        """Note one line.

        Raises:
            ProbeBrokeProtocol: see `wire.parse_line`.
        """
        said = parse_line(line)
        if said is None:
            self.ended = True
        elif said.probe in self.outcomes or len(self.outcomes) >= LINES_MAX:
            raise ProbeBrokeProtocol("more lines than probes")
        else:
            self.outcomes[said.probe] = said.outcome


def converse(
    fds: tuple[int, int, int], request: Mapping[str, object], *, seconds: float,
    line_bytes: int = LINE_BYTES,
) -> Results:  # fmt: skip
    """Send `request`, read results until the program is done, has gone or is cut off.

    Args:
        fds: its stdin, stdout and stderr; left open.
        request: see `probes.registry.Context`.
        seconds: for all of it.
        line_bytes: a longer line cuts the program off.
    """
    stdin, stdout, stderr = fds
    results, have = Results(), bytearray()
    try:
        os.write(stdin, json.dumps(request).encode() + b"\n")
    except BrokenPipeError:
        results.broken = "gone"
        return results
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        selector.register(stderr, selectors.EVENT_READ)
        while not results.ended:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                results.broken = "silent"
                break
            ready = {key.fd for key, _ in selector.select(left_s)}
            if stderr in ready and not os.read(stderr, _READ_BYTES):
                selector.unregister(stderr)
            if stdout not in ready:
                continue
            part = os.read(stdout, _READ_BYTES)
            if not part:
                break
            have += part
            whole: list[bytearray] = []
            if b"\n" in part:  # else a flood would be searched from its start each time
                *whole, have = have.split(b"\n")
            if len(have) > line_bytes or not results.take_all(whole, trim=line_bytes > LINE_BYTES):
                results.broken = "cut-off"
                break
    return results
