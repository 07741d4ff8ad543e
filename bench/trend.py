"""Whether a series grows: its slope, and how sure that is."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from itertools import pairwise

from goals import percentile

BLOCKS = 15
_DRAWS = 2000


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of a line by least squares; 0 where all lie at one place."""
    if len({x for x, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def blocks(points: Sequence[tuple[float, float]], count: int = BLOCKS) -> list[tuple[float, float]]:
    """Return at most so many medians of neighbours.

    Samples of memory that follow each other are nearly the same sample, which would make an
    interval far too narrow; medians of minutes depend on each other much less.
    """
    count = min(count, len(points))
    edges = [round(len(points) * at / count) for at in range(count + 1)]
    return [
        (
            statistics.median(x for x, _ in points[start:end]),
            statistics.median(y for _, y in points[start:end]),
        )
        for start, end in pairwise(edges)
    ]


def slope_interval(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of the slope (Efron 1979); the same each time.

    Args:
        points: of medians, from `blocks`.
    """
    draw = random.Random(1).choices
    slopes = [slope(draw(points, k=len(points))) for _ in range(_DRAWS)]
    return percentile(slopes, 2.5), percentile(slopes, 97.5)
