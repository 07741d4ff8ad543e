"""A verb's module, imported when the verb is asked for.

Trust: operator side. Input: names from the table of `cli.main`, never from the command line.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load_verb(place: str) -> Any:
    """Return what a verb is made of.

    Args:
        place: `MODULE:NAME`, a module of `corral.cli`.
    """
    module, _, name = place.partition(":")
    # SAFETY: the table's constants only.
    return getattr(import_module(f"corral.cli.{module}"), name)
