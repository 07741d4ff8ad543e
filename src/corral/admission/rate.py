"""A rate as curl and wget write it.

Trust: operator side; no I/O. Input: the command line.
"""

from __future__ import annotations

import re
from typing import Final

from corral.core.errors import CorralError
from corral.core.limits import GIB, KIB, MIB

_RATE: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kKmMgG]?)[bB]?")
_UNITS: Final = {"": 1, "k": KIB, "m": MIB, "g": GIB}


def parse_rate(text: str) -> int:
    """Return bytes per second; `k`, `M` and `G` are 1024, its square and its cube; 0 is no limit.

    Raises:
        CorralError: code `bad_rate`.
    """
    found = _RATE.fullmatch(text)
    if found is None:
        raise CorralError(
            "bad_rate", "that is no rate", remedy="write bytes per second: 800000, 500k, 1.5M"
        )
    return int(float(found[1]) * _UNITS[found[2].lower()])
