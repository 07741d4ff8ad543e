"""Weights of control groups: profiles name shares (version 1), version 2 has another unit; pure.

Trust: operator side. Input: our own numbers. There is no way back: of version 2's unit several
shares have the same number, so an expectation is translated forward and then compared.
"""

from __future__ import annotations

import math
import re
from typing import Final

UNIFIED: Final = "unified"
"""How `inspection` names a weight that a group of version 2 shows."""
_SHARES: Final = re.compile(r"weight-(\d+)((?:-cores-\d+)?)")
_SHOWN: Final = re.compile(rf"{UNIFIED}-(\d+)((?:-cores-\d+)?)")


def linear_weight(shares: int) -> int:
    """Translate as `sandbox.cgroup`, runc, and crun before 1.23 do."""
    return 1 + (shares - 2) * 9999 // 262_142


def curved_weight(shares: int) -> int:
    """Translate as newer runc and crun do, so that both defaults (1024 and 100) meet."""
    exponent = math.log2(shares)
    return math.ceil(10 ** ((exponent**2 + 125 * exponent) / 612 - 7 / 34))


def same_weight(expected: str, shown: str) -> bool:
    """Return whether what a group shows is what a profile's shares become there, give or take 1.

    Args:
        expected: `weight-1024` or `weight-512-cores-1`, in shares.
        shown: the same, or `unified-39` and the like.
    """
    if expected == shown:
        return True
    wanted, seen = _SHARES.fullmatch(expected), _SHOWN.fullmatch(shown)
    if not wanted or not seen or wanted[2] != seen[2]:
        return False
    shares, number = int(wanted[1]), int(seen[1])
    return min(abs(number - linear_weight(shares)), abs(number - curved_weight(shares))) <= 1
