"""What a trial load shows: does the engine load this model, and does it do what a model must?

Trust: operator side; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

_ENGINE: Final = "xllamacpp"


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What the trial showed.

    Attributes:
        ok: loaded and gave a token.
        code: stable slug of the failure; empty when ok.
        engine: engine name and version that was tried; empty if unknown.
    """

    ok: bool
    code: str
    engine: str = ""


def installed_engine() -> str:
    """Return what `TrialResult.engine` of a trial load would be now; never empty.

    A receipt with another engine was made before an upgrade, so that its trial proves nothing.
    """
    try:
        return f"{_ENGINE} {version(_ENGINE)}"
    except PackageNotFoundError:
        return "none"
