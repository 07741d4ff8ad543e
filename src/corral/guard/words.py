"""Does a decoded text say something? Common words, and those that attacks are made of.

Trust: gateway [net] and command line; pure. Input: untrusted text. Every text can be read backwards
or by another alphabet; only what has words then is worth a look by a rule or a detector.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

_COMMON: Final = (
    "the and you your that this with from have are was not for but all any can what which when "
    "who how why will would should could must into onto out over about then than them they their "
    "there here its his her our more some other only also just now been being has had did does "
    "done each every these those very after before above below first last next new one two use "
    "using used make made get give given take want need know see look say said tell told ask "
    "answer question help please like good time day work way people write written read word words "
    "text line sentence letter message messages email file files code data name list number page "
    "table story output input print show send reply respond response repeat return follow "
    "following followed start end stop open run call find add create begin continue translate "
    "summarize explain describe most many much such same different between through during because "
    "while until against around without within along across behind beyond still again once never "
    "always often maybe perhaps sure yes yeah okay hello thanks thank sorry let lets hope feel "
    "love hate best better worst right left wrong true false real fake great little long short "
    "high low small large big old young early late today tomorrow yesterday week month year hour "
    "minute morning night home house city country world water food money school book books game "
    "games music movie song poem essay article summary report letters phrase phrases passphrase "
    "spell spelling backwards reverse reversed capital lower upper second third hint hints riddle "
    "guess tells telling says saying speak talk conversation chat bot language english french "
    "german spanish translation version example examples case cases problem problems solution "
    "correct exactly format json python program function script http https www com user users "
    "person man woman child friend family company business server network computer phone internet "
    "website pages address numbers digit digits character characters symbol symbols space spaces "
    "thing things something someone anyone everyone nobody ways part parts place places point "
    "points fact facts idea ideas reason reasons life death human humans animal dog cat eat drink "
    "sleep walk play watch listen hear learn teach study build change move turn keep hold bring "
    "put set try think believe understand remember forget mean means become seem happen allow "
    "permit shall may might "
)
_OF_ATTACKS: Final = (
    "ignore ignored disregard forget forgot override bypass previous prior earlier preceding "
    "instruction instructions prompt prompts system developer user assistant model rules rule "
    "guidelines restrictions policy policies filter filters safety secret secrets password "
    "passwords key keys token tokens reveal disclose leak hidden confidential initial original "
    "instead pretend act role mode admin administrator root access command commands execute "
    "delete download upload without never always everything anything nothing unrestricted "
    "uncensored jailbreak attacker account transfer credit card bank malware virus bomb weapon "
    "hack exploit "
)
WORDS: Final = frozenset((_COMMON + _OF_ATTACKS).split())

_TOKEN: Final = re.compile(r"[a-z]{3,}")


def hits(text: str) -> int:
    """Return how many of a text's words are known, in lower case, at least three letters long."""
    return sum(token in WORDS for token in _TOKEN.findall(text))


def speaks(text: str, least: int = 2) -> bool:
    """Return whether a text has so many known words, and a fifth of its words are known."""
    tokens = _TOKEN.findall(text)
    known = sum(token in WORDS for token in tokens)
    return known >= least and known * 5 >= len(tokens)


_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def _shift(by: int) -> Callable[[str], str]:
    table = str.maketrans(_LETTERS, _LETTERS[by:] + _LETTERS[:by])
    return lambda text: text.translate(table)


def _mirror(text: str) -> str:
    return text.translate(_MIRROR)


def _backwards(text: str) -> str:
    return text[::-1]


def _words_backwards(text: str) -> str:
    return " ".join(word[::-1] for word in text.split())


_MIRROR: Final = str.maketrans(_LETTERS, _LETTERS[::-1])

READINGS: Final[Mapping[str, Callable[[str], str]]] = {
    **{f"shifted-{by}": _shift(by) for by in range(1, 26)},
    "mirrored": _mirror,
    "reversed": _backwards,
    "reversed-words": _words_backwards,
}
"""How letters may stand for others: rot13 and the other shifts, atbash, backwards."""

_LONGEST: Final = max(map(len, WORDS))
_UNDONE: Final[Mapping[str, str]] = {
    **{
        READINGS[name](word): (f"shifted-{26 - int(name[8:])}" if name[0] == "s" else name)
        for name in READINGS
        if name != "reversed-words"
        for word in WORDS
        if len(word) >= 4
    },
    **dict.fromkeys(WORDS, ""),
}
"""Known words as another alphabet writes them, and by which reading they are words again."""


def unread(low: str) -> list[str]:
    """Return the readings by which at least two of a text's words would be known ones.

    One pass and a look into a table for each word, whatever the number of readings.
    """
    counts = Counter(_UNDONE.get(token, "") for token in _TOKEN.findall(low))
    found = [name for name, count in counts.items() if name and count >= 2]
    return [*found, "reversed-words"] if "reversed" in found else found


def divided(run: str) -> str:
    """Return letters without spaces with spaces put between known words, the longest first."""
    pieces: list[str] = []
    unknown = ""
    at = 0
    while at < len(run):
        for size in range(min(_LONGEST, len(run) - at), 2, -1):
            if run[at : at + size] in WORDS:
                pieces += [unknown, run[at : at + size]]
                unknown = ""
                at += size
                break
        else:
            unknown += run[at]
            at += 1
    return " ".join(piece for piece in (*pieces, unknown) if piece)
