"""How far a pull or a scan has come, for whoever draws the bar.

Trust: operator side; numbers and fixed words only.
"""

from __future__ import annotations

from typing import Literal, Protocol

Stage = Literal["wait", "ask", "hash", "fetch", "copy", "scan", "trial", "admit", "check"]


class Progress(Protocol):
    """Called often and from one thread; must be quick and must not raise."""

    def __call__(self, stage: Stage, done_bytes: int, total_bytes: int) -> None:
        """Report a stage; `total_bytes` is 0 where it is not known."""
        ...


def no_progress(stage: Stage, done_bytes: int, total_bytes: int) -> None:
    """Report nothing."""
