"""A conversation with tools as plain messages, which any chat template can show to its model.

Trust: gateway [net]; pure. Input: sanitised texts of a request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

from corral.engine.wire import Message
from corral.guard.tool_frames import defused, framed_calls, framed_result, tools_prompt
from corral.guard.tool_use import ToolUse

_THOUGHTS: Final = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)


def with_tools(messages: Sequence[Message], use: ToolUse) -> tuple[Message, ...]:
    """Return the messages with declarations, calls and results written into them.

    Declarations stand behind the first system message, or are one. Results that follow one another
    are one message of the user: that is what models were trained on, and roles take turns.
    """
    shown: list[Message] = []
    after_result = False
    for index, message in enumerate(messages):
        if message.role == "system":
            shown.append(message)
        elif message.role == "assistant":
            said = _defused(_without_thoughts(message))
            content = framed_calls(said.content, use.called.get(index, ()))
            shown.append(Message(said.role, content, said.media))
        elif message.role == "tool":
            result = _framed(_defused(message))
            shown.append(_joined(shown.pop(), result) if after_result else result)
        else:
            shown.append(_defused(message))
        after_result = message.role == "tool"
    return tuple(_told(shown, tools_prompt(use)) if use.offered else shown)


def _without_thoughts(message: Message) -> Message:
    """Return an earlier answer without what its model thought first.

    Templates of models that think leave it out as well, by looking into contents. A worker can give
    no proof for a template that changes contents and contents that name a frame (ADR 26).
    """
    thoughts = _THOUGHTS.match(message.content)
    if thoughts is None or message.media:
        return message
    return Message(message.role, message.content[thoughts.end() :])


def _told(messages: list[Message], told: str) -> list[Message]:
    """Return the messages with what the model is told of tools."""
    first, *others = messages
    if first.role != "system":
        return [Message("system", told), *messages]
    return [Message("system", f"{first.content}\n\n{told}", first.media), *others]


def _defused(message: Message) -> Message:
    """Return a message in which no frame begins or ends; its media stay where they are."""
    borders = (0, *message.media, len(message.content))
    texts = [defused(message.content[begin:end]) for begin, end in pairwise(borders)]
    places = tuple(accumulate(map(len, texts[:-1]))) if message.media else ()
    return Message(message.role, "".join(texts), places)


def _framed(result: Message) -> Message:
    content, before = framed_result(result.content)
    return Message("user", content, tuple(place + before for place in result.media))


def _joined(one: Message, other: Message) -> Message:
    before = len(one.content) + 1
    places = (*one.media, *(place + before for place in other.media))
    return Message(one.role, f"{one.content}\n{other.content}", places)
