"""`x-ratelimit-*`: what is left of a caller's limits, as OpenAI says it; pure.

Trust: gateway [net]. Input: numbers of the caller's own limits. Where several apply, the one of
which least is left is told. Without a limit on tokens nothing is said of tokens.
https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True, order=True)
class Left:
    """What is left of one limit.

    Attributes:
        reset_ns: until nothing of it is used any more.
    """

    remaining: int
    limit: int
    reset_ns: int


def rate_headers(requests: Iterable[Left], tokens: Iterable[Left]) -> Headers:
    """Return the headers that tell what is left."""
    found: list[tuple[bytes, bytes]] = []
    for name, lefts in (("requests", requests), ("tokens", tokens)):
        least = min(lefts, default=None)
        if least is None:
            continue
        for part, value in (
            ("limit", str(least.limit)),
            ("remaining", str(max(0, least.remaining))),
            ("reset", span_text(least.reset_ns)),
        ):
            found.append((f"x-ratelimit-{part}-{name}".encode(), value.encode()))
    return tuple(found)


def span_text(span_ns: int) -> str:
    """Return a span as OpenAI writes it, rounded up: `120ms`, `1.5s`, `6m0s`."""
    ms = -(-max(0, span_ns) // 1_000_000)
    if ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    seconds = f"{ms / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
