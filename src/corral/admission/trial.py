"""The interface of the trial load: does the engine load this model and give one token?

Trust: operator side. `engine.trial.EngineTrial` implements it; admission may not import the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from corral.admission.trusted_model import Estimated

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


class TrialLoader(Protocol):
    """Loads a quarantined blob in an engine jail."""

    def load(self, model: Estimated) -> TrialResult:
        """Load `HOME/quarantine/blobs/<digest>` with its chat template, try it, stop."""
        ...


def installed_engine() -> str:
    """Return what `TrialResult.engine` of a trial load would be now; never empty.

    A receipt with another engine was made before an upgrade, so that its trial proves nothing.
    """
    try:
        return f"{_ENGINE} {version(_ENGINE)}"
    except PackageNotFoundError:
        return "none"
