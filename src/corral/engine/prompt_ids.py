"""A prompt's token ids, so that what a tenant wrote can never become a control token.

Trust: jail zone; pure but for the tokeniser it is given. Input: texts of a tenant, hostile; the
prompt that a model's template makes of them; the vocabulary, hostile.

The engine renders a conversation twice: once with a word that nobody can guess in the place of each
content, once with the contents. Where both differ in nothing else, and they are put together like
this, what was the template's and what was a tenant's is known for every byte:

1. The first rendering is cut at the words. What is left is the template's own text: only in it are
   control tokens looked for, as the engine would.
2. What stands between two of them, text of the template and contents, is tokenised in one piece
   without `parse_special`. So an ordinary conversation has the very ids that the engine gives it.
3. User-defined tokens are parsed in any case: a text that became one is cut inside of it.
4. Proof: the control tokens of the result are those of the first rendering, as the engine itself
   parses that, and in this order. If not, nothing is generated.

Where the renderings do not fit (a template that trims, splits or escapes a content in a way that is
not known here), the engine's own ids are taken, if they have just the control tokens of the first
rendering and no content names one; else the request is refused.

An engine that takes images is given texts, not ids: `engine.media_prompt`.
"""

from __future__ import annotations

from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Protocol

    Messages = list[dict[str, Any]]
    Ids = list[int]

    class Tokenises(Protocol):
        """`drivers.tokeniser_unsafe.Tokeniser`, as far as it is needed here."""

        def ids(self, text: bytes, *, add_special: bool = False, parse_special: bool) -> list[int]:
            """Return the tokens of a text."""

        def special(self, kinds: int) -> list[tuple[int, bytes, int]]:
            """Return the tokens of these kinds."""


_UNKNOWN, _CONTROL, _USER_DEFINED, _LSTRIP, _RSTRIP = 1, 8, 16, 128, 256
"""Attributes of a token (llama.h)."""
_SPACE: Final = b"\xe2\x96\x81"
"""How vocabularies of SentencePiece write a space."""
_BLANK: Final = b" \t\n\v\f\r"
_CACHED: Final = 512
_CACHED_BYTES: Final = 16384
_PROBE: Final = b"a"


class PromptError(Exception):
    """A prompt for which no proof can be given; the request is refused with `special_token`."""


class PromptIds:
    """Makes token ids of prompts, for one loaded model. Safe from several threads.

    Args:
        tokeniser: of the engine, with its model loaded.
        secret: random letters and digits of this worker, unknown to everybody.

    Attributes:
        control: ids of the control tokens.
        barred: ids that no content may become: these, and user-defined tokens that are more than
            white space or one character.
    """

    def __init__(self, tokeniser: Tokenises, secret: str) -> None:
        self._tokenise = tokeniser.ids
        self._secret = secret.encode()
        tokens = tokeniser.special(_UNKNOWN | _CONTROL | _USER_DEFINED)
        self._texts = {number: text for number, text, _ in tokens}
        self._attributes = {number: attributes for number, _, attributes in tokens}
        self.control = frozenset(n for n, _, attributes in tokens if attributes & _CONTROL)
        self.barred = self.control | {
            n for n, text, attributes in tokens if attributes & _USER_DEFINED and _is_marker(text)
        }
        # As the engine looks for them, the longest first. Spaces and single characters that are
        # user-defined stay in the text around them: they are parsed there.
        sought = (token for token in tokens if token[0] in self.barred or token[2] & _UNKNOWN)
        self._tokens = sorted(sought, key=lambda token: -len(token[1]))
        self._parts: dict[bytes, list[bytes | int]] = {}
        self._neutral: dict[bytes, tuple[Ids, bool]] = {}
        probe = tokeniser.ids(_PROBE, add_special=True, parse_special=False)
        alone = tokeniser.ids(_PROBE, parse_special=False)
        begin = next(n for n in range(len(probe), -1, -1) if probe[n : n + len(alone)] == alone)
        self._before, self._behind = probe[:begin], probe[begin + len(alone) :]

    def is_special(self, text: str) -> bool:
        """Return whether a text is one control or user-defined token, where such are parsed."""
        ids = self._tokenise(in_bytes(text), parse_special=True)
        return len(ids) == 1 and ids[0] in self._texts

    def neutral(self, messages: Messages) -> Messages:
        """Return a conversation with words of ours in the place of the contents.

        Raises:
            PromptError: a role is more than a word.
        """
        self._check_roles(messages)
        return [
            {**one, "content": self._word(number) if one["content"] else ""}
            for number, one in enumerate(messages)
        ]

    def marked(self, messages: Messages) -> Messages:
        """Return a conversation as the template is to render it."""
        return messages

    def of_text(self, text: str) -> Ids:
        """Return the ids of a text that a model is to continue.

        Raises:
            PromptError: a control token cannot be kept out.
        """
        return [*self._before, *self._plain(in_bytes(text)), *self._behind]

    def of_chat(self, messages: Messages, neutral: bytes, prompt: bytes) -> Ids:
        """Return the ids of a conversation.

        Args:
            messages: with their contents.
            neutral: what the template made of `self.neutral(messages)`.
            prompt: what it made of `messages`.

        Raises:
            PromptError: it cannot be told what in the prompt is the template's.
        """
        contents = [in_bytes(one["content"]) for one in messages]
        if any(self._secret in one for one in contents):
            raise PromptError
        neutral, prompt = self._without_ends(neutral, prompt)
        expected, filled = self._told_apart(contents, neutral, prompt)
        if filled is None:
            self._check_strange(contents)
            ids = self._tokenise(prompt, add_special=True, parse_special=True)
        else:
            ids = self._assembled(filled)
        if [number for number in ids if number in self.barred] != expected:
            raise PromptError
        return ids

    def _check_roles(self, messages: Messages) -> None:
        if not all(one["role"].isascii() and one["role"].isalpha() for one in messages):
            raise PromptError

    def _word(self, number: int) -> str:
        return f"{self._secret.decode()}{number}z"

    def _told_apart(
        self, contents: list[bytes], neutral: bytes, prompt: bytes
    ) -> tuple[Ids, list[tuple[bytes, bool]] | None]:
        """Return the barred tokens that are due, and the prompt's texts, each with whose it is.

        None for the texts if the template looks into contents in a way that is not known here.
        """
        expected, is_exact = self._expected(neutral)
        filled = _filled(*self._cut(neutral), contents, prompt) if is_exact else None
        return expected, filled

    def _without_ends(self, neutral: bytes, prompt: bytes) -> tuple[bytes, bytes]:
        """Take away what the vocabulary adds anyway, if the template wrote it, as the engine does.

        Only the template's: what is not at the end of the neutral prompt is somebody's content.
        """
        for number in self._before[-1:]:
            if (text := self._texts.get(number, b"")) and neutral.startswith(text):
                neutral, prompt = neutral[len(text) :], prompt.removeprefix(text)
        for number in self._behind[:1]:
            if (text := self._texts.get(number, b"")) and neutral.endswith(text):
                neutral, prompt = neutral[: -len(text)], prompt.removesuffix(text)
        return neutral, prompt

    def _check_strange(self, contents: list[bytes]) -> None:
        """The template looks into contents: the engine's own ids are right if nothing is forged."""
        for one in contents:
            if not self.control.isdisjoint(self._tokenise(one, parse_special=True)):
                raise PromptError

    def _expected(self, neutral: bytes) -> tuple[Ids, bool]:
        """Return the barred tokens of the neutral prompt, and whether we make the ids it has."""
        known = self._neutral.get(neutral)
        if known is None:
            naive = self._tokenise(neutral, add_special=True, parse_special=True)
            try:
                texts, numbers = self._cut(neutral)
                words = [b"%s%sz" % (self._secret, number) for number in numbers]
                ours = self._assembled(_between(texts, words))
            except PromptError:
                ours = []
            known = ([number for number in naive if number in self.barred], ours == naive)
            _keep(self._neutral, neutral, known)
        return known

    def _cut(self, neutral: bytes) -> tuple[list[bytes], list[bytes]]:
        """Cut the neutral prompt into the template's texts and the numbers of what is between."""
        first, *others = neutral.split(self._secret)
        cut = [other.partition(b"z") for other in others]
        return [first, *(text for _, _, text in cut)], [number for number, _, _ in cut]

    def _assembled(self, pieces: list[tuple[bytes, bool]]) -> Ids:
        return [*self._before, *self._ids_of(pieces), *self._behind]

    def _ids_of(self, pieces: list[tuple[bytes, bool]]) -> Ids:
        """Return the ids of texts, each with whether control tokens are looked for in it."""
        ids: Ids = []
        run: list[bytes] = []
        before = 0
        for text, is_ours in pieces:
            for part in self._partition(text) if is_ours else (text,):
                if isinstance(part, bytes):
                    run.append(part)
                    continue
                attributes = self._attributes[part]
                ids += [*self._plain(_stripped(b"".join(run), before, attributes)), part]
                run, before = [], attributes
        return [*ids, *self._plain(_stripped(b"".join(run), before, 0))]

    def _partition(self, text: bytes) -> list[bytes | int]:
        """Find special tokens in the template's text, as the engine does."""
        parts = self._parts.get(text)
        if parts is None:
            parts = [text] if text else []
            for number, literal, _ in self._tokens:
                if literal and literal in text:
                    parts = [one for part in parts for one in _cut_out(part, literal, number)]
            _keep(self._parts, text, parts)
        return parts

    def _plain(self, text: bytes) -> Ids:
        """Tokenise a text in which nothing is a control token.

        Raises:
            PromptError: the vocabulary makes one of it nevertheless.
        """
        if not text:
            return []
        ids = self._tokenise(text, parse_special=False)
        found = self.barred.intersection(ids)
        if not found:
            return ids
        cuts = sorted({
            place + _character_bytes(literal)
            for literal in map(self._texts.__getitem__, found)
            if len(literal) > _character_bytes(literal)
            for place in _places(text, literal)
        })  # fmt: skip
        if not cuts:
            raise PromptError
        borders = [0, *cuts, len(text)]
        return [
            number for begin, end in pairwise(borders) for number in self._plain(text[begin:end])
        ]


def in_bytes(text: str) -> bytes:
    """Return a text as the engine is given it."""
    return text.encode("utf-8", "replace")  # as `plain_json.encode` gives it to the engine


def _is_marker(text: bytes) -> bool:
    """Return whether a text is more than white space or one character."""
    words = text.replace(_SPACE, b" ").strip(_BLANK)
    return len(words) > _character_bytes(words)


def _character_bytes(text: bytes) -> int:
    """Return how many bytes the first character of a text has."""
    first = text[0] if text else 0
    return 1 if first < 0xC0 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def _places(text: bytes, literal: bytes) -> list[int]:
    found = []
    place = text.find(literal)
    while place >= 0:
        found.append(place)
        place = text.find(literal, place + len(literal))
    return found


def _cut_out(part: bytes | int, literal: bytes, number: int) -> list[bytes | int]:
    if isinstance(part, int) or literal not in part:
        return [part]
    first, *others = part.split(literal)
    found: list[bytes | int] = [first] if first else []
    for other in others:
        found.append(number)
        if other:
            found.append(other)
    return found


def _stripped(text: bytes, before: int, behind: int) -> bytes:
    """Return what of a text is left between two tokens with these attributes."""
    text = text.lstrip(_BLANK) if before & _RSTRIP else text
    return text.rstrip(_BLANK) if behind & _LSTRIP else text


def _between(texts: list[bytes], contents: list[bytes]) -> list[tuple[bytes, bool]]:
    first, *others = texts
    pairs = zip(contents, others, strict=True)
    return [(first, True), *(one for c, t in pairs for one in ((c, False), (t, True)))]


def _filled(
    texts: list[bytes], numbers: list[bytes], contents: list[bytes], prompt: bytes
) -> list[tuple[bytes, bool]] | None:
    """Put contents between the template's texts; None unless that is the prompt, byte for byte."""
    place = len(texts[0])
    found: list[bytes] = []
    for number, follows in zip(numbers, texts[1:], strict=True):
        known = number.isdigit() and int(number) < len(contents)
        # What comes next is the template's: it tells which form of a content it was.
        for text in _forms(contents[int(number)]) if known else ():
            end = place + len(text)
            if prompt.startswith(text, place) and prompt.startswith(follows, end):
                break
        else:
            return None
        found.append(text)
        place = end + len(follows)
    fits = prompt.startswith(texts[0]) and place == len(prompt)
    return _between(texts, found) if fits else None


def _forms(content: bytes) -> list[bytes]:
    """Return what a template that only trims may make of a content."""
    return [content, content.strip(_BLANK), content.rstrip(_BLANK), content.lstrip(_BLANK)]


def _keep(known: dict[bytes, Any], key: bytes, value: Any) -> None:
    if len(key) <= _CACHED_BYTES:
        if len(known) >= _CACHED:
            known.clear()
        known[key] = value
