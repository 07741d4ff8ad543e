"""What a figure is held against, and the small statistics that figures are made of."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal with its figure.

    Attributes:
        limit: the figure may be this at least (`at_least`) or at most.
        interval: where the figure lies with 95 % confidence, where it is known.
    """

    name: str
    figure: float
    unit: str
    limit: float
    at_least: bool
    interval: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        """Whether the figure keeps to the limit."""
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def record(self) -> dict[str, object]:
        """Return it for JSON."""
        return {**asdict(self), "figure": round(self.figure, 4), "met": self.met}


def median(samples: Sequence[float]) -> float:
    """Return the middle of samples."""
    return statistics.median(samples)


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of the median (Efron 1979); the same each time.

    A median over few noisy pairs says little without it: a goal that the interval spans is neither
    shown as met nor as missed by more than chance.
    """
    draw = random.Random(1).choices
    medians = sorted(median(draw(samples, k=len(samples))) for _ in range(2000))
    return percentile(medians, 2.5), percentile(medians, 97.5)


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that `percent` of all samples do not exceed (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def rounded(samples: Sequence[float], digits: int = 3) -> list[float]:
    """Return samples for JSON."""
    return [round(one, digits) for one in samples]
