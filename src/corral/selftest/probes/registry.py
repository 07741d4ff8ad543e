"""Which probes exist, and how an attempt becomes an outcome.

Trust: runs in a jail. Input: trusted. An outcome is `ok` (the attack got through), the name of the
error that the kernel gave, or a short word for a fact that was found.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OK = "ok"
Attack = Callable[["Context"], str | None]
PROBES: dict[str, Attack] = {}
ALONE: set[str] = set()
LAST: list[str] = []
"""Probes that may end the process: they run after all others."""


class Context:
    """What the selftest tells a probe about the host and about its own victims.

    Attributes:
        control: this process is outside every jail.
        zone: profile name.
        namespaces: kind -> name of the host's namespace, as `/proc/self/ns` shows it.
        secret: path of a file that the selftest made on the host.
        blobs: the model store's path on the host.
        victim: id of a process that the selftest made.
        port: TCP port on 127.0.0.1 where the selftest listens.
        abstract: name of an abstract Unix socket where it listens.
        unix: path of a Unix socket where it listens.
        scratch: folder that this process may write, or an empty text.
    """

    def __init__(self, table: dict[str, object]) -> None:
        self.control = bool(table.get("control"))
        self.zone = str(table.get("zone", ""))
        names = table.get("namespaces")
        self.namespaces = names if isinstance(names, dict) else {}
        self.secret = str(table.get("secret", ""))
        self.blobs = str(table.get("blobs", ""))
        self.victim = int(str(table.get("victim", 0)))
        self.port = int(str(table.get("port", 0)))
        self.abstract = str(table.get("abstract", ""))
        self.unix = str(table.get("unix", ""))
        self.scratch = str(table.get("scratch", ""))


class Stopped(Exception):  # noqa: N818 - an outcome, not an error
    """The attack did not get through; the text says by what."""


def probe(name: str, *, alone: bool = False, last: bool = False) -> Callable[[Attack], Attack]:
    """Register an attack.

    Args:
        name: its id in the catalog.
        alone: it may kill or block the process and runs in a jail of its own.
        last: it replaces the process if it gets through.
    """

    def register(attack: Attack) -> Attack:
        PROBES[name] = attack
        if alone:
            ALONE.add(name)
        if last:
            LAST.append(name)
        return attack

    return register


def outcome_of(attack: Attack, context: Context) -> str:
    """Run an attack and return what came of it."""
    try:
        return attack(context) or OK
    except Stopped as stop:
        return str(stop)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "OSError")
    except Exception as error:
        return type(error).__name__


def ordered(only: str) -> Iterator[tuple[str, Attack]]:
    """Yield what runs in one process: one probe, or all that can share it."""
    if only:
        yield only, PROBES[only]
        return
    for name, attack in PROBES.items():
        if name not in ALONE and name not in LAST:
            yield name, attack
    for name in LAST:
        yield name, PROBES[name]


@contextmanager
def no_result() -> Iterator[None]:
    """Ignore errors of cleaning up."""
    try:
        yield
    except OSError:
        return
