"""The interface of the trial load; `engine.trial.EngineTrial` implements it.

Trust: operator side. Admission may not import the engine.
"""

from __future__ import annotations

from typing import Protocol

from corral.admission.trial import TrialResult
from corral.admission.trusted_model import Estimated


class TrialLoader(Protocol):
    """Loads a quarantined blob in an engine jail."""

    def load(self, model: Estimated) -> TrialResult:
        """Load `HOME/quarantine/blobs/<digest>` with its chat template, try it, stop."""
        ...
