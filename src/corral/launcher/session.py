"""A channel's standing with the launcher, and what a request is answered with.

Trust: trusted base; no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from corral.ipc.messages import Message


class Role(Enum):
    """Who is at the other end of a channel."""

    GATEWAY = "gateway"
    JOB = "job"
    OPERATOR = "operator"


@dataclass(slots=True)
class Session:
    """One channel's standing with the launcher.

    Attributes:
        identity: names the channel; a worker belongs to the channel that started it.
        used: requests that are permitted once and were made.
    """

    identity: int
    role: Role
    used: set[type]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back; `message` is None when the answer comes later.

    Attributes:
        fds: descriptors to pass; closed here once they are sent.
    """

    message: Message | None
    fds: tuple[int, ...] = ()
