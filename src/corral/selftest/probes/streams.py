"""Attacks on whoever reads this process's output.

Trust: runs in a jail. Input: `Context`. Bounded: 48 MiB of one line.
"""

from __future__ import annotations

import os

from corral.selftest.probes.registry import Context, probe

_FLOOD_BYTES = 48 << 20
_PART = b" " * (64 << 10)


@probe("stream.flood", alone=True)
def _flood(_: Context) -> None:
    # One line without an end, faster than anybody parses it. Blanks are legal before JSON.
    for _number in range(_FLOOD_BYTES // len(_PART)):
        os.write(1, _PART)


@probe("stream.errors")
def _errors(_: Context) -> None:
    # Standard error that nobody wants must not block the process or fill anything.
    for _number in range(64):
        os.write(2, _PART)
