"""Prompts that a small model answers at length, each different from its first words on.

The same series is given to both sides, and no prompt comes twice on one side, so that no prefix
cache helps either beyond the chat template's own head.
"""

from __future__ import annotations

from collections.abc import Iterator

_PLACES = (
    "harbour", "mountain village", "desert town", "space station", "forest", "island", "library",
    "railway station", "castle", "market", "lighthouse", "farm", "school", "glacier", "canal",
    "observatory", "theatre", "mine", "vineyard",
)  # fmt: skip
_HEROES = (
    "a clockmaker", "a young sailor", "two sisters", "an old cook", "a botanist", "a lost dog",
    "a night watchman", "a painter", "a bridge builder", "a retired pilot", "a beekeeper",
    "a map seller", "a violinist",
)  # fmt: skip
_THINGS = (
    "a broken compass", "a sealed letter", "a strange map", "a silver key", "an unusual storm",
    "a missing book", "a talking bird", "a hidden door", "a very old coin", "a secret recipe",
    "a forgotten song",
)  # fmt: skip


def prompts() -> Iterator[str]:
    """Yield prompts of about the same length, none twice in 2,717 (19 x 13 x 11)."""
    number = 0
    while True:
        number += 1
        hero = _HEROES[number % len(_HEROES)]
        place, thing = _PLACES[number % len(_PLACES)], _THINGS[number % len(_THINGS)]
        yield (
            f"Number {number}, the {place}: write a long and detailed story of at least five"
            f" hundred words about {hero} who finds {thing} there. Describe the weather, the"
            " people, what they say to each other, and how everything changes afterwards."
        )
