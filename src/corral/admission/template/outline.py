"""A rendering without what its messages say: the text that the template itself adds.

Trust: scan jail; pure functions. Input: renderings of untrusted templates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from corral.admission.template.conversations import Conversation

_NUMBER: Final = re.compile(r"\d+")
_DAY_OR_MONTH: Final = re.compile(
    r"\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:tember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
    r"|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?|am|pm)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Outline:
    """What stands between the messages.

    Attributes:
        segments: texts of the template: before, between and behind the messages.
        order: index of the message behind each segment but the last.
    """

    segments: tuple[str, ...]
    order: tuple[int, ...]

    def dateless(self) -> Outline:
        """Return the same without numbers, days and months."""
        return Outline(
            tuple(_DAY_OR_MONTH.sub("@", _NUMBER.sub("#", one)) for one in self.segments),
            self.order,
        )

    def before(self, message: int) -> str:
        """Return the text directly before a message."""
        return self.segments[self.order.index(message)]


def outline(text: str, conversation: Conversation) -> Outline | str:
    """Return what stands between the messages, or which rule a message's fate breaks."""
    places: list[tuple[int, int, int]] = []
    for index, words in enumerate(conversation.words):
        said = words.strip()
        start = text.find(said)
        if start < 0:
            role = conversation.roles[index]
            return f"the template drops or changes what a message of the {role} says"
        if text.find(said, start + 1) >= 0:
            return "the template says a message twice"
        places.append((start, start + len(said), index))
    places.sort()
    turns = [index for _, _, index in places if conversation.roles[index] != "system"]
    if turns != sorted(turns):
        return "the template changes the order of messages"
    ends = [0, *(end for _, end, _ in places)]
    starts = [*(start for start, _, _ in places), len(text)]
    return Outline(
        tuple(text[end:start] for end, start in zip(ends, starts, strict=True)),
        tuple(index for _, _, index in places),
    )
