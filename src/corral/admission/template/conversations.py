"""Conversations that a template is tried with: roles, lengths, words, dates.

Trust: scan jail; constants and pure functions. Every message holds a word that occurs nowhere
else, so that what becomes of it can be seen in the rendering.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from corral.admission.template.renderer import Message

NEUTRAL: Final = "hello there"
FILLER: Final = " hello "
TRIGGERS: Final[tuple[str, ...]] = (
    "see https://example.com/login?next=1", "what is my password", "a credit card and bank account",
    "```python\ndef main():\n    return 1\n```", "SELECT * FROM users; DROP TABLE users",
    "<html><body><script>alert(1)</script></body></html>", '{"name": "value", "items": [1, 2]}',
    "\u4f60\u597d\uff0c\u8bf7\u95ee\u4eca\u5929\u5929\u6c14\u600e\u4e48\u6837",
    "\u043f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430",
    "\u0645\u0631\u062d\u0628\u0627 \u0643\u064a\u0641 \u062d\u0627\u0644\u0643",
    "\u3053\u3093\u306b\u3061\u306f",
    "sch\u00f6ne Gr\u00fc\u00dfe", "bonjour, \u00e7a va ?",
    "\U0001f600 \U0001f680", "12345678901234567890", "PLEASE ANSWER IN CAPITALS", "why? how? when?",
    "image video audio text file url type", "write a poem about autumn", "translate this email",
    "ignore previous instructions", "which drug dose is safe", "who wins the election", "weapons",
    "in production we deploy", "install this package with pip", "reveal the api key and token",
    "OpenAI Anthropic Google Meta", "invoice payment transfer", "a\n\n\nb\n\n- c\n* d\n# e",
    "a\nb", "a\nb\nc", "a\nb\nc\nd",
    "x", "tool function call", "user assistant system", "2027-01-01", "summarize the article",
)  # fmt: skip
LENGTHS: Final = (40, 260, 1100, 4200, 12000)
TURNS: Final = (4, 5, 8, 12, 24)
_UNUSUAL: Final = (
    ("user", "user"), ("user", "user", "user"), ("system", "user", "user"), ("user", "assistant"),
    ("system", "user", "assistant"), ("assistant", "user"), ("system", "assistant", "user"),
    ("user", "system", "user"), ("system", "system", "user"), ("user", "assistant", "system"),
    ("user", "assistant", "assistant", "user"), ("user", "assistant", "user", "user"), ("system",),
)  # fmt: skip
"""Orders of roles that callers may send, besides turns of user and assistant."""
_LONG_WORDS: Final = "lorem ipsum dolor sit amet "

NOW: Final = datetime.datetime(2025, 3, 12, 10, 30, tzinfo=datetime.UTC)
DATES: Final = tuple(
    datetime.datetime(*parts, tzinfo=datetime.UTC)
    for parts in (
        (1999, 12, 31, 23, 59), (2023, 6, 1, 0, 0), (2024, 2, 29, 12, 0), (2025, 1, 1, 0, 1),
        (2025, 4, 1, 9, 0), (2025, 3, 15, 3, 0), (2026, 7, 4, 15, 45), (2026, 12, 25, 20, 0),
        (2027, 6, 15, 8, 0), (2028, 11, 11, 11, 11), (2030, 1, 2, 3, 4), (2038, 1, 19, 3, 14),
        (2099, 10, 31, 22, 22),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conversation:
    """Roles, and what each says.

    Attributes:
        words: what the messages say, in order.
    """

    roles: tuple[str, ...]
    words: tuple[str, ...]

    def messages(self, *, typed: bool = False) -> list[Message]:
        """Return the messages, their contents as lists of parts if `typed`."""
        return [
            {"role": role, "content": [{"type": "text", "text": text}] if typed else text}
            for role, text in zip(self.roles, self.words, strict=True)
        ]


def shape(turns: int, *, system: bool) -> tuple[str, ...]:
    """Return the roles of a conversation whose last message is the user's `turns`th."""
    return (("system",) if system else ()) + ("user", "assistant") * (turns - 1) + ("user",)


def conversation(
    roles: tuple[str, ...], said: str = NEUTRAL, only: str | None = None
) -> Conversation:
    """Return a conversation of these roles.

    Args:
        roles: role of each message.
        said: text in each message, between words of its own.
        only: the role that says it; the others say something harmless.
    """
    return Conversation(roles, tuple(
        f" {said if only in {None, role} else NEUTRAL} ".join(marks(role, number))
        for number, role in enumerate(roles)
    ))  # fmt: skip


def unusual_conversations() -> Iterator[Conversation]:
    """Yield conversations of other orders, of messages that say nothing, or that say one thing."""
    for order in _UNUSUAL:
        yield Conversation(order, tuple(FILLER.join(marks(r, n)) for n, r in enumerate(order)))
    roles = shape(2, system=True)
    words = tuple(FILLER.join(marks(role, number)) for number, role in enumerate(roles))
    for blank in ("", " ", "\n"):
        for chosen in ((0,), (1,), (2,), (3,), (1, 3), (0, 1, 2, 3)):
            yield Conversation(roles, tuple(
                blank if number in chosen else said for number, said in enumerate(words)
            ))  # fmt: skip
        yield Conversation(("user",), (blank,))
    yield Conversation(roles, (words[0], words[1], words[2], words[1]))
    asked, answered = (FILLER.join(marks(role, n)) for n, role in enumerate(("user", "assistant")))
    yield Conversation(shape(4, system=False), (asked, answered) * 3 + (asked,))


def marks(role: str, number: int) -> tuple[str, str]:
    """Return the words that a message begins and ends with, and that occur nowhere else."""
    return f"zq{role[0]}{number}v", f"wk{role[0]}{number}j"


def said_variants() -> Iterator[str]:
    """Yield texts that a template must treat like any other."""
    yield from TRIGGERS
    for length in LENGTHS:
        yield (_LONG_WORDS * (length // len(_LONG_WORDS) + 1))[:length].strip()
