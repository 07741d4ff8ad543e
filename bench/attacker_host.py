"""A host of its own for an attacker: a network namespace with a cable to this one.

What it does competes with the server for the network path, not for the processors: its processes
have the least weight that there is, in their session's scheduling group too (`sched(7)`, autogroup;
without that a priority counts only among the session's own processes).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER_ADDRESS = "10.203.77.1"
_ATTACKER = "10.203.77.2"
_CABLE = ("corral-bench0", "corral-bench1")


@dataclass(frozen=True, slots=True)
class AttackerHost:
    """Where to run an attack.

    Attributes:
        namespace: name of its network namespace; empty for this host's own.
    """

    namespace: str = ""

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the words that run a command there, at the lowest priority."""
        there = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        return [*there, "nice", "-n", "19", *words]


@contextmanager
def attacker_host() -> Iterator[AttackerHost]:
    """Make a host that reaches this one at `SERVER_ADDRESS`; needs root."""
    name = f"corral-bench-{os.getpid()}"
    ours, theirs = _CABLE
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        try:
            _run("ip", "address", "add", f"{SERVER_ADDRESS}/30", "dev", ours)
            _run("ip", "link", "set", ours, "up")
            inside = ("ip", "-n", name)
            _run(*inside, "address", "add", f"{_ATTACKER}/30", "dev", theirs)
            _run(*inside, "link", "set", theirs, "up")
            _run(*inside, "link", "set", "lo", "up")
            yield AttackerHost(name)
        finally:
            _run("ip", "link", "delete", ours)
    finally:
        _run("ip", "netns", "delete", name)


def least_weight(session_pid: int) -> None:
    """Give the scheduling group of a session the least weight, where the kernel has such groups."""
    group = Path(f"/proc/{session_pid}/autogroup")
    if group.exists():
        group.write_text("19", encoding="ascii")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
