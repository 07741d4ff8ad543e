"""Links to hosts that are not on a list.

Trust: gateway [net]; pure. Input: hostile text. A host counts as it is written: whoever allows
`.corral.dev` allows `a.corral.dev`; a port or a user before an `@` is no host and is not allowed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from corral.guard.hit import LOOK_AHEAD, Hit, Tail
from corral.guard.secret_patterns import ALNUM

_URL: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:https?|ftp|wss?):[/\\]{2}|www\.)([^\s/?#\\<>\"'`()\[\]{}|]{0,100})",
    re.IGNORECASE,
)
_BEGUN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:[hfw][A-Za-z]{0,4}(?::[/\\]{0,2})?|w{1,3}\.?|"
    r"(?:(?:https?|ftp|wss?):[/\\]{2}|www\.)[^\s/?#\\<>\"'`()\[\]{}|]{0,100})\Z",
    re.IGNORECASE,
)
_TAIL: Final = Tail(ALNUM | frozenset("_~/?#@!$&*+=%-\\"), joints=".,;:")


class HostList:
    """The hosts that a policy lets answers name.

    Args:
        hosts: names; `.name` stands for every host below it.
    """

    def __init__(self, hosts: Collection[str]) -> None:
        self._names = frozenset(one for one in hosts if not one.startswith("."))
        self._suffixes = tuple(one for one in hosts if one.startswith("."))

    def allows(self, host: str) -> bool:
        """Return whether a host is of the list."""
        name = host.lower().removesuffix(".")
        return name in self._names or name.endswith(self._suffixes)


class UrlScanner:
    """Finds `remote_link`."""

    def __init__(self, hosts: HostList) -> None:
        self._hosts = hosts

    def hits(self, text: str, start: int, stop: int) -> Iterator[Hit]:
        """Yield hits, as `Scanner` says."""
        at = start
        while (found := _URL.search(text, at)) and found.start() < stop:
            at = found.end()
            host = found[1] if found[0][:4].lower() != "www." else found[0]
            if host and not self._hosts.allows(host.rstrip(".,;:!")):
                at = _TAIL.end(text, at)
                yield Hit("remote_link", found.start(), at, "", _TAIL)

    def held_from(self, text: str) -> int:
        """Return where something may be unfinished, as `Scanner` says."""
        begun = _BEGUN.search(text, max(0, len(text) - LOOK_AHEAD))
        return begun.start() if begun else len(text)
