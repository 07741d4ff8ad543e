"""The selftest's result as a JSON document; its schema is in docs/selftest.md.

Trust: operator side. Input: judged lines.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from corral import __version__
from corral.selftest.verdict import Line, Verdict

SCHEMA: Final = 1


def count_verdicts(lines: Sequence[Line]) -> dict[str, int]:
    """Return how many lines have each verdict, each named."""
    counted = Counter(line.verdict for line in lines)
    return {verdict.value: counted[verdict] for verdict in Verdict}


def passed(lines: Sequence[Line]) -> bool:
    """Return whether nothing got through and every line proves something."""
    bad = {Verdict.RED, Verdict.INVALID}
    return bool(lines) and not any(line.verdict in bad for line in lines)


def make_document(lines: Sequence[Line], *, full: bool) -> dict[str, Any]:
    """Return the document."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "mode": "full" if full else "quick",
        "passed": passed(lines),
        "counts": count_verdicts(lines),
        "lines": [
            {
                "probe": line.probe.id, "title": line.probe.title, "walls": list(line.probe.walls),
                "scenario": line.probe.scenario, "zone": line.zone, "runtime": line.runtime,
                "tier": line.tier, "outcome": line.outcome, "control": line.control,
                "verdict": line.verdict.value, "reason": line.reason,
            }
            for line in lines
        ],
    }  # fmt: skip
