"""A channel's standing with the launcher, and what a request is answered with.

Trust: trusted base; no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from corral.ipc.messages import GatewayReady, Message


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
        draining: the gateway was told to accept nothing new.
    """

    identity: int
    role: Role
    used: set[type]
    draining: bool = False

    @property
    def ready(self) -> bool:
        """Whether the gateway serves, or did until it was told to drain; jobs always do."""
        return self.role is not Role.GATEWAY or GatewayReady in self.used


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back; `message` is None when the answer comes later.

    Attributes:
        fds: descriptors to pass; closed here once they are sent.
    """

    message: Message | None
    fds: tuple[int, ...] = ()
