"""The last steps of admission, which every way in has in common: from verified bytes to the store.

Trust: operator side. Input: private copies that we hashed; what scan and trial say of them is
checked where it comes out of their jails.

    4 scan         structure check in a jail
    5 estimate     memory of a worker, against every ceiling
    6 trial        load in an engine jail: canary, control tokens, memory
    7 decide       the standing policy gives a trust level, or refuses
    8 admit        signed receipt, blob into the store, row into the catalog
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from corral.admission.catalog import CatalogEntry
from corral.admission.catalog_changes import add_entry
from corral.admission.denied import Denied
from corral.admission.journal import How
from corral.admission.policy.standing import Standing
from corral.admission.progress import Progress
from corral.admission.receipt import Receipt, make_receipt, sign_receipt
from corral.admission.scan.runner import Part, scan_sealed
from corral.admission.sealing import SealedBlob
from corral.admission.trial_loader import TrialLoader
from corral.admission.trusted_model import Decided, Verified
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import ModelName
from corral.pki.receipt_key import load_receipt_key

_Stage = TypeVar("_Stage")


@dataclass(frozen=True, slots=True)
class Admitting:
    """Walks a model that was verified; the caller holds the pull lock.

    Attributes:
        model: its name.
        standing: the policy that decides.
    """

    model: ModelName
    home: Home
    config: Config
    launcher: LauncherClient
    trial: TrialLoader
    progress: Progress
    standing: Standing

    def decide(
        self, verified: Verified, blob: SealedBlob, *, template: Path | None = None
    ) -> Decided:
        """Return the proof of steps 4 to 7.

        Args:
            verified: what is known of the blob.
            blob: in quarantine.
            template: sealed file with the chat template that takes the place of the model's own.

        Raises:
            CorralError: the code says which stage refused.
        """
        # 4 scan
        self.progress("scan", 0, 0)
        part = Part(str(self.model), blob.path)
        report = scan_sealed([part], home=self.home, launcher=self.launcher, template=template)
        replacing = self.config.admission.template == "replace"
        policy = self.standing.policy
        scanned = passed(verified.scan(report, policy, replacing=replacing))
        # 5 estimate
        estimated = passed(scanned.estimate(self.config.engine, policy))
        # 6 trial
        self.progress("trial", 0, 0)
        trialled = passed(estimated.trial(self.trial.load(estimated)))
        # 7 decide
        return passed(trialled.decide(policy, now_s=self.standing.now_s()))

    def receipt(self, decided: Decided, *, fetched_at: int) -> Receipt:
        """Return what step 8 signs."""
        return make_receipt(
            decided, name=self.model, fetched_at=fetched_at, admitted_at=int(time.time())
        )

    def admit(
        self, decided: Decided, *blobs: SealedBlob, fetched_at: int, how: How
    ) -> CatalogEntry:
        """Return the entry that step 8 makes.

        Args:
            decided: proof of the steps before.
            blobs: in quarantine: the model, and what is laid over it.
            fetched_at: when the model's bytes came, Unix seconds.
            how: for the journal.

        Raises:
            CorralError: codes of `add_entry`, `load_receipt_key`.
        """
        self.progress("admit", 0, 0)
        receipt = self.receipt(decided, fetched_at=fetched_at)
        text, signature = sign_receipt(receipt, load_receipt_key(self.home))
        return add_entry(self.home, decided.admit(text, signature), receipt, blobs, how=how)


def passed(result: _Stage | Denied) -> _Stage:
    """Return what a stage let pass.

    Raises:
        CorralError: the stage refused, with its code.
    """
    if isinstance(result, Denied):
        raise CorralError(result.code, result.message, remedy=result.remedy)
    return result
