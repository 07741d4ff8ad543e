"""Blind mutation of seeds, for interpreters that atheris has no wheel for."""

from __future__ import annotations

import random
import time

from fuzz.target import Target

_EDGES = (b"\0", b"\xff", b"\xff" * 8, b"\0" * 8, b"\x80", b'"', b"{", b"[", b"\n", b"-1")


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Return `data` with a few places changed."""
    raw = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(raw))
        match chance.randint(0, 4):
            case 0:
                raw[at : at + 1] = bytes([chance.randint(0, 255)])
            case 1:
                raw[at:at] = chance.choice(_EDGES)
            case 2:
                del raw[at : at + chance.randint(1, 16)]
            case 3:
                length = chance.randint(1, 16)
                raw[at:at] = raw[at : at + length] * chance.randint(1, 4)
            case _:
                edge = chance.choice(_EDGES)
                raw[at : at + len(edge)] = edge
    return bytes(raw)


def fuzz_blindly(target: Target, seconds: float) -> bytes | None:
    """Return an input that breaks the property, or None if none was found in time."""
    chance = random.Random()
    corpus = list(target.seeds)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutate(chance.choice(corpus), chance)
        try:
            target.check(data)
        except Exception:
            return data
        if chance.random() < 0.001:  # let changes pile up
            corpus = [*target.seeds, data]
    return None
