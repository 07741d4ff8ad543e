"""Where a link or an image of a Markdown answer leads, as far as its beginning says.

Trust: gateway [net]; pure. Input: hostile text. What is not plainly a known host, a place of the
reader's own site, or a mail, counts as somewhere else: entities, backslashes, users and ports in
front of or behind a host are how one reader is shown another host than the next.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from corral.guard.url_scanner import HostList

Where = Literal["known", "elsewhere", "active", "undecided"]

DESTINATION_CHARACTERS: Final = 100
"""Of a destination no more is looked at; what is not decided by then is somewhere else."""
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})(:?)")
_HOST: Final = re.compile(r"https?://([A-Za-z0-9.-]*)(.?)", re.IGNORECASE | re.DOTALL)
_FIRST_PART: Final = re.compile(r"[^/?#)>\s]*")
_ENDS: Final = frozenset("/?#)> \t\n\r\"'")
_MAIL: Final = frozenset({"mailto", "tel", "sms"})
_PLACES: Final = frozenset({"ftp", "ftps", "sftp", "git", "ssh", "irc", "ircs", "xmpp", "magnet"})


def destination(text: str, hosts: HostList, *, complete: bool) -> Where:
    """Return where a text leads that begins with a destination.

    Args:
        text: from its first character on.
        hosts: that are known.
        complete: nothing more will come.
    """
    complete = complete or len(text) >= DESTINATION_CHARACTERS
    text = text[:DESTINATION_CHARACTERS]
    if not text:
        return "known" if complete else "undecided"
    if text[0] == "/":
        if len(text) == 1:
            return "known" if complete else "undecided"
        return "elsewhere" if text[1] in "/\\&" else "known"
    if text[0] in "#?)":
        return "known"
    if text[0] in "\\& \t\n\r":
        return "elsewhere"
    scheme = _SCHEME.match(text)
    if scheme and not scheme[2] and scheme.end() == len(text) and not complete:
        return "undecided"
    if scheme and scheme[2]:
        return _of_scheme(scheme[1].lower(), text, hosts, complete=complete)
    first = _FIRST_PART.match(text)
    part = first[0] if first else ""
    if set(part) & set("&\\:"):
        return "active"
    if len(part) == len(text) and not complete:
        return "undecided"
    return "known"


def _of_scheme(name: str, text: str, hosts: HostList, *, complete: bool) -> Where:
    if name in _MAIL:
        return "known"
    if name in _PLACES:
        return "elsewhere"
    if name not in {"http", "https"}:
        return "active"
    start = f"{name}://"
    if not complete and len(text) < len(start) and start.startswith(text.lower()):
        return "undecided"
    host = _HOST.match(text)
    if host is None:
        return "elsewhere"
    if not host[2] and not complete:
        return "undecided"
    ended = not host[2] or host[2] in _ENDS
    return "known" if ended and hosts.allows(host[1]) else "elsewhere"
