"""The trial load of a quarantined model: load it in a jail, ask for one token, stop.

Trust: command line (operator's side). Input: a hostile model in a hostile worker; only the
outcome comes out, as a value of a fixed vocabulary.
"""

from __future__ import annotations

from corral.admission.trial import TrialResult
from corral.admission.trusted_model import Estimated
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.engine.local import LocalWorker
from corral.engine.sizing import trial_demand, trial_start
from corral.engine.wire import End, Generate, Sampling


class EngineTrial:
    """The `TrialLoader` of admission, by a real engine worker."""

    def __init__(self, launcher: LauncherClient, config: Config) -> None:
        self._launcher = launcher
        self._config = config

    def load(self, model: Estimated) -> TrialResult:
        """Load HOME/quarantine/blobs/DIGEST in a jail and let it make one token.

        Returns:
            ok with an empty code, or the code of what failed: `model_load_failed`,
            `model_load_timeout`, `worker_failed`, `worker_timeout`, `worker_out_of_memory`,
            `trial_no_answer`, or the launcher's own refusal.
        """
        wait_s = self._config.engine.load_timeout_s
        request = Generate(id=1, sampling=Sampling(max_tokens=1, temperature=0.0), prompt="Hello")
        try:
            demand = trial_demand(model.scanned.facts, self._config.engine)
            start = trial_start(model.digest, demand)
            template = model.scanned.template.text
            with LocalWorker(self._launcher, start, template, wait_s) as worker:
                for message in worker.generate(request):
                    if isinstance(message, End):
                        return TrialResult(ok=True, code="", engine=worker.ready.engine)
        except CorralError as error:
            return TrialResult(ok=False, code=error.code)
        return TrialResult(ok=False, code="trial_no_answer")
