"""The plot of `corral usage`: tokens of each day, stacked by tenant.

Trust: operator side. Input: totals of the usage table; names of tenants are checked when made.
matplotlib is an extra (`corral[plot]`) and loaded here alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.tenancy.usage import UsageTotal

_FORMATS: Final = frozenset({".svg", ".png"})


def draw_usage(totals: Sequence[UsageTotal], file: Path) -> None:
    """Draw totals by tenant and day.

    Args:
        totals: with `tenant` and `day`.
        file: ends in `.svg` or `.png`.

    Raises:
        CorralError: codes `bad_plot`, `plot_unavailable`.
    """
    if file.suffix not in _FORMATS:
        raise CorralError("bad_plot", "a plot is a file that ends in .svg or .png")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CorralError(
            "plot_unavailable", "plots need matplotlib", remedy="pip install 'corral[plot]'"
        ) from error
    days = sorted({str(one.day) for one in totals})
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    bottom = [0.0] * len(days)
    for tenant in sorted({str(one.tenant) for one in totals}):
        tokens = dict.fromkeys(days, 0)
        for one in totals:
            if one.tenant == tenant:
                tokens[str(one.day)] += one.prompt_tokens + one.completion_tokens
        heights = [tokens[day] for day in days]
        axes.bar(days, heights, bottom=bottom, label=tenant)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set(title="Tokens by day (UTC)", ylabel="prompt and answer tokens")
    if days:
        axes.legend(loc="upper left")
        axes.tick_params(axis="x", rotation=45)
    try:
        figure.savefig(file)
    except OSError as error:
        raise CorralError("bad_plot", "the plot cannot be written there") from error
