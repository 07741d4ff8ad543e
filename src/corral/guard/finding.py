"""What a stage of the sanitation saw in a text, and what is to become of it.

Trust: gateway [net] and command line; pure. A finding says what and where, never with what words:
no part of the text is in it, so that it may go into a header, a counter and a log.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, Protocol, get_args

Origin = Literal["system", "user", "assistant", "tool", "document"]
"""Who wrote a part of a request; `tool` and `document` are what strangers may have written."""

ORIGINS: Final[tuple[Origin, ...]] = get_args(Origin)

STRANGERS: Final[frozenset[Origin]] = frozenset({"tool", "document"})
"""Of whose texts nobody here has read a word before the model does."""


class Handling(StrEnum):
    """What a policy has done with a kind of finding; each wider than the one before."""

    ALLOW = "allow"
    """It is not looked for."""
    REPORT = "report"
    """The text goes on as it is; the finding is counted and told."""
    CLEAN = "clean"
    """It is taken out or replaced, as its stage does it."""
    REFUSE = "refuse"
    """The request is refused, the answer is ended."""


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a request.

    Attributes:
        param: the request's field, as errors name it, such as `messages[2].content`.
        text: what it says.
        origin: who wrote it.
        is_framed: it is shown to the model in a frame that says what it is, and needs no other.
    """

    param: str
    text: str
    origin: Origin
    is_framed: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One place of a text where a stage saw something.

    Attributes:
        kind: a name of `guard.kinds.KINDS`.
        start: first character of it, counted in code points of the text that the stage got.
        end: one past its last character.
        note: more about it, out of a closed set of words and numbers; never any of the text.
    """

    kind: str
    start: int
    end: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters from `start` to `end` by `text`; places as in `Finding`."""

    start: int
    end: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a stage says about one text.

    Attributes:
        findings: in the order of their places.
        edits: in order, without overlap; only for findings whose kind the policy has cleaned.
    """

    findings: tuple[Finding, ...] = ()
    edits: tuple[Edit, ...] = ()


NOTHING: Final = Verdict()


class Stage(Protocol):
    """One step of the way in; made once for each policy, used for every text.

    Attributes:
        name: of `guard.kinds`, for metrics and headers.
    """

    name: str

    def look(self, part: Part) -> Verdict:
        """Return what is in one text; the same for the same text, and raises nothing."""
