"""`corral pull --locked`: get exactly the models of a lock file, or refuse.

Trust: operator side. Input: a lock file, strictly read; everything else as in a pull.

    1 look    names, sources, signers; what is admitted already by these very demands is left as is
    2 ask     every source that has to be fetched, before the first model changes anything: a
              digest that its server tells, a name that is taken, a signature that does not fit
    3 pull    one after the other; each demands every digest and the signer of its entry
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from corral.admission.catalog import Catalog, CatalogEntry
from corral.admission.lock_file import Lock, LockedModel
from corral.admission.locking import LockedDemand, demand_of, is_met
from corral.admission.plan import PullPlan, plan_pull
from corral.admission.progress import Progress
from corral.admission.pull import pull_model
from corral.admission.signing.trust_root import find_signer
from corral.admission.trial_loader import TrialLoader
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home


@dataclass(frozen=True, slots=True)
class LockedPull:
    """The models of a lock file that are to be there.

    Attributes:
        lock: what the file says.
        folder: where the file lies, absolute.
        home: state folder.
        config: effective configuration.
        launcher: starts the jails.
        progress: called on the way.
    """

    lock: Lock
    folder: Path
    home: Home
    config: Config
    launcher: LauncherClient
    progress: Progress

    def chosen(self, names: Iterable[str]) -> dict[str, LockedModel]:
        """Return the entries of some names, or all.

        Raises:
            CorralError: code `lock_no_model`.
        """
        wanted = tuple(dict.fromkeys(names)) or tuple(sorted(self.lock.models))
        if any(name not in self.lock.models for name in wanted):
            raise CorralError(
                "lock_no_model",
                "the lock file has no model of that name",
                remedy="corral pull SOURCE --name NAME --lock FILE puts it there",
            )
        return {name: self.lock.models[name] for name in wanted}

    def present(self, name: str, locked: LockedModel) -> CatalogEntry | None:
        """Return the admitted model if it is what the entry demands, or None.

        Raises:
            CorralError: code `database_unavailable`.
        """
        with closing(Catalog(self.home.database, self.home.receipt_public_key.read_bytes())) as c:
            entry = c.lookup(name)
        if entry is None or entry.held or not is_met(locked, entry.receipt):
            return None
        return entry if self.home.blob(entry.digest).is_file() else None

    def plans(self, names: Iterable[str]) -> Iterator[tuple[str, PullPlan | None]]:
        """Yield for each model what its pull would do; None: it is there.

        Raises:
            CorralError: codes of `chosen`, `demand_of`, `find_signer`, `plan_pull`.
        """
        # 1
        chosen = self.chosen(names)
        demands = {name: self._demand(locked) for name, locked in chosen.items()}
        # 2
        for name, locked in chosen.items():
            there = self.present(name, locked) is not None
            yield name, None if there else self._plan(name, locked, demands[name])

    def pull(self, names: Iterable[str], trial: TrialLoader) -> Iterator[tuple[CatalogEntry, bool]]:
        """Yield each model that is there now, and whether this made it so.

        Raises:
            CorralError: codes of `plans`, what a plan foretells, codes of `pull_model`.
        """
        chosen = self.chosen(names)
        for _, plan in list(self.plans(names)):
            if plan is not None and plan.refusal is not None:
                raise plan.refusal
        # 3
        for name, locked in chosen.items():
            entry = self.present(name, locked)
            if entry is not None:
                yield entry, False
                continue
            wanted = self._demand(locked)
            yield pull_model(
                wanted.source, home=self.home, config=self.config, launcher=self.launcher,
                trial=trial, expect=wanted.expect, name=name, progress=self.progress,
                demand=wanted.demand,
            ), True  # fmt: skip

    def _demand(self, locked: LockedModel) -> LockedDemand:
        wanted = demand_of(locked, self.folder)
        if wanted.demand is not None:
            find_signer(self.config, wanted.demand.signed_by, self.home.root)
        return wanted

    def _plan(self, name: str, locked: LockedModel, wanted: LockedDemand) -> PullPlan:
        return plan_pull(
            wanted.source, home=self.home, config=self.config, launcher=self.launcher,
            expect=wanted.expect, name=name, progress=self.progress, demand=wanted.demand,
        )  # fmt: skip
