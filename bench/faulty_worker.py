"""The genuine worker with a fault if a prompt is `FAULT:garbage`, `:memory`, `:forks` or `:spin`.

It runs in the engine's image, in the worker's place; standard library and corral only.
"""

from __future__ import annotations

import os

from corral.engine import genuine  # the worker, renamed in the image

_GARBAGE = os.urandom(512) + b"\n"  # made now: a sealed worker gets no random numbers


def _garbage() -> None:
    for _ in range(1000):
        os.write(1, _GARBAGE)


def _memory() -> None:
    hoard = []
    while True:
        hoard.append(bytes(1) * (16 << 20))


def _forks() -> None:
    while True:
        try:
            os.fork()
        except OSError:
            continue


def _spin() -> None:
    while True:
        sum(range(1_000_000))


_FAULTS = {
    "FAULT:garbage": _garbage,
    "FAULT:memory": _memory,
    "FAULT:forks": _forks,
    "FAULT:spin": _spin,
}


class FaultyWorker(genuine.Worker):
    """Has its fault instead of an answer."""

    def take(self, message: object) -> None:
        """Queue a request, or go wrong."""
        for said in getattr(message, "messages", None) or ():
            if said["content"] in _FAULTS:
                _FAULTS[said["content"]]()
        super().take(message)


def main() -> None:
    """Run the genuine worker with the faulty class in it."""
    genuine.Worker = FaultyWorker
    genuine.main()
