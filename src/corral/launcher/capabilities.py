"""Which capabilities the launcher keeps, and why: `capabilities.toml` as a set of numbers.

Trust: trusted base. Input: our own shipped file.
"""

from __future__ import annotations

import tomllib
from importlib import resources


def load_kept(who: str) -> frozenset[int]:
    """Return the numbers that the launcher of `root` or of a `user`, or root's `monitor`, keeps."""
    text = resources.files("corral.launcher").joinpath("capabilities.toml").read_text()
    return frozenset(int(entry["number"]) for entry in tomllib.loads(text)[who])
