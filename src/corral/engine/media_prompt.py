"""The text of a prompt for an engine that takes images and sounds, so that it forges nothing.

Trust: jail zone; pure but for the tokeniser it is given. Input: texts of a tenant, hostile; the
prompt that a model's template makes of them; the vocabulary, hostile.

An engine with a projector takes no ids: it is given a text, cuts it at its media marker, and parses
what is between for control tokens. So here a text is given away only once it is proven that the
engine makes of it the very ids that `PromptIds` makes, in which no content is a control token; and
that each marker in it is one that was put there for an image or a sound. What cannot be proven is
refused: a text that spells a control token, too.
"""

from __future__ import annotations

from itertools import pairwise

from corral.engine.prompt_ids import PromptError, PromptIds, in_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corral.engine.prompt_ids import Messages, Tokenises

    Pieces = list[tuple[bytes, bool]]


class MediaPrompts(PromptIds):
    """Makes texts of prompts, for one loaded model. Safe from several threads.

    Args:
        tokeniser: of the engine, with its model loaded.
        secret: random letters and digits of this worker, unknown to everybody.
        marker: what stands for an image or a sound to the engine; likewise.
    """

    def __init__(self, tokeniser: Tokenises, secret: str, marker: str) -> None:
        super().__init__(tokeniser, secret)
        self._marker = marker.encode()

    def marked(self, messages: Messages) -> Messages:
        """Return a conversation with markers where its images and sounds stand."""
        marker = self._marker.decode()
        return [_joined(one, marker, _texts_of(one)) for one in messages]

    def neutral(self, messages: Messages) -> Messages:
        """Return the same with words of ours in the place of all that somebody wrote."""
        self._check_roles(messages)
        marker, number, found = self._marker.decode(), 0, []
        for one in messages:
            words = []
            for text in _texts_of(one):
                words.append(self._word(number) if text else "")
                number += 1
            found.append(_joined(one, marker, words))
        return found

    def of_text(self, text: str) -> str:  # type: ignore[override]  # what this engine takes
        """Return a text that a model is to continue, as it is.

        Raises:
            PromptError: the engine would find a control token in it, or a marker.
        """
        raw = in_bytes(text)
        if self._marker in raw or self._tokenise(raw, parse_special=True) != self._plain(raw):
            raise PromptError
        return text

    def of_chat(self, messages: Messages, neutral: bytes, prompt: bytes) -> str:  # type: ignore[override]
        """Return the prompt of a conversation, without what the vocabulary adds at its ends.

        Args:
            messages: with their contents.
            neutral: what the template made of `self.neutral(messages)`.
            prompt: what it made of `self.marked(messages)`.

        Raises:
            PromptError: it cannot be told what in the prompt is the template's, or the engine
                would make something else of it.
        """
        contents = [in_bytes(text) for one in messages for text in _texts_of(one)]
        count = sum(len(one.get("media", ())) for one in messages)
        if any(self._secret in one or self._marker in one for one in contents):
            raise PromptError
        neutral, prompt = self._without_ends(neutral, prompt)
        parts = prompt.split(self._marker)
        theirs = [self._tokenise(part, parse_special=True) for part in parts]
        expected, filled = self._told_apart(contents, neutral, prompt)
        if filled is None:
            self._check_strange(contents)
        elif [self._ids_of(pieces) for pieces in _cut_at(self._marker, filled)] != theirs:
            raise PromptError
        ids = [*self._before, *(number for part in theirs for number in part), *self._behind]
        if (
            len(parts) - 1 != count
            or neutral.count(self._marker) != count
            or not self._in_order(neutral)
            or self._has_ends(prompt)
            or [number for number in ids if number in self.barred] != expected
        ):
            raise PromptError
        return prompt.decode()

    def _in_order(self, neutral: bytes) -> bool:
        """Return whether the texts, and so the images between them, are in their order."""
        _, numbers = self._cut(neutral)
        return all(int(a) <= int(b) for a, b in pairwise(numbers))

    def _has_ends(self, prompt: bytes) -> bool:
        """Return whether the engine would take something away from the ends of a prompt."""
        first = [self._texts.get(number, b"") for number in self._before]
        last = [self._texts.get(number, b"") for number in self._behind]
        return any(one and prompt.startswith(one) for one in first) or any(
            one and prompt.endswith(one) for one in last
        )


def _texts_of(message: dict[str, Any]) -> list[str]:
    """Return what of a message's text is before, between and behind its media."""
    content = message["content"]
    borders = [0, *message.get("media", ()), len(content)]
    return [content[begin:end] for begin, end in pairwise(borders)]


def _joined(message: dict[str, Any], marker: str, texts: list[str]) -> dict[str, Any]:
    return {"role": message["role"], "content": marker.join(texts)}


def _cut_at(marker: bytes, pieces: Pieces) -> list[Pieces]:
    """Cut a prompt's pieces at the markers, which are all in the template's."""
    found: list[Pieces] = [[]]
    for text, is_ours in pieces:
        first, *others = text.split(marker) if is_ours else [text]
        found[-1].append((first, is_ours))
        found += [[(other, True)] for other in others]
    return found
