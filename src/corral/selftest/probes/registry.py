"""Which probes exist, and how an attempt becomes an outcome.

Trust: runs in a jail. Input: trusted; all the same nothing is attacked from outside a jail but
what carries the selftest's marker (`Context.refusal`). An outcome is `ok` (the attack got
through), the name of the error that the kernel gave, or a short word for a fact that was found.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

OK = "ok"
_MARKER_CHARS = 32
Attack = Callable[["Context"], str | None]
PROBES: dict[str, Attack] = {}
ALONE: set[str] = set()
LAST: list[str] = []
"""Probes that may end the process: they run after all others."""


JAIL_ENTRY = "/opt/python/jail.py"
"""The first program of every jail; no host has it."""


class Refusal(StrEnum):
    """Why a process attacks nothing: what each of its probes says instead of an outcome."""

    NOT_IN_A_JAIL = "not-in-a-jail"
    NO_MARKER = "no-marker"
    FOREIGN_TARGET = "foreign-target"


class Context:
    """What the selftest tells a probe about the host and about its own victims.

    Attributes:
        control: this process is outside every jail.
        zone: profile name.
        namespaces: kind -> name of the namespace of whoever is to be kept apart from this process
            (of the host; for a control, of the process that started it).
        secret: path of a file that the selftest made on the host.
        blobs: the model store's path on the host; for a control, a folder of the selftest.
        victim: id of a process that the selftest made.
        port: TCP port on 127.0.0.1 where the selftest listens.
        abstract: name of an abstract Unix socket where it listens.
        unix: path of a Unix socket where it listens.
        scratch: folder that this process may write, or an empty text.
        folder: a control's own folder: everything that it aims at lies in it.
        marker: random text that the selftest wrote into that folder and into its victim.
        listeners: descriptors of the unused listeners that this process was given.
        processors: how many the host has.
        refusal: why nothing may be attacked from here: no jail is around, or the targets are not
            the selftest's own. Found once, at the start: a sealed process cannot look any more.
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
        self.folder = str(table.get("folder", ""))
        self.marker = str(table.get("marker", ""))
        listeners = table.get("listeners")
        self.listeners = listeners if isinstance(listeners, list) else [3, 3]
        self.processors = int(str(table.get("processors", 1)))
        self.refusal = self._find_refusal()

    def at(self, path: str) -> str:
        """Return where `path` of a jail is: there, or in a control's own copy of the tree."""
        return f"{self.folder}/mirror{path}" if self.control else path

    def _find_refusal(self) -> Refusal | None:
        if not self.control:
            in_jail = os.getpid() == 1 and os.path.exists(JAIL_ENTRY)
            return None if in_jail else Refusal.NOT_IN_A_JAIL
        if not self._marked():
            return Refusal.NO_MARKER
        top = os.path.realpath(self.folder) + "/"
        places = (self.secret, self.blobs, self.unix, self.scratch, self.at("/"))
        if not all(os.path.realpath(place).startswith(top) for place in places):
            return Refusal.FOREIGN_TARGET
        try:
            with open(f"/proc/{self.victim}/environ", "rb") as file:
                ours = self.marker.encode() in file.read(4096)
        except OSError:
            ours = False
        return None if ours else Refusal.FOREIGN_TARGET

    def _marked(self) -> bool:
        if len(self.marker) != _MARKER_CHARS:
            return False
        try:
            facts = os.lstat(self.folder)
            with open(f"{self.folder}/marker", encoding="ascii") as file:
                said = file.read(2 * _MARKER_CHARS)
        except (OSError, ValueError):
            return False
        private = facts.st_uid == os.geteuid() and not facts.st_mode & 0o077
        return private and said == self.marker


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
    if context.refusal:
        return context.refusal.value
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
