"""`corral lock`, and what `corral pull` does with a lock file.

Trust: operator side. Input: the operator's command line; a lock file, strictly read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.models import entry_document, find_model, note_faults, read_catalog
from corral.cli.options import HomeOption, JsonOption, effective_config, open_home
from corral.cli.progress import shown_progress
from corral.cli.terminal import print_json, print_note, print_table, size_text
from corral.core.config import override_config

if TYPE_CHECKING:
    from corral.admission.catalog import CatalogEntry
    from corral.admission.lock_file import Lock
    from corral.admission.locking import LockedDemand
    from corral.admission.progress import Progress
    from corral.admission.source import Source
    from corral.control.client import LauncherClient
    from corral.core.home import Home

LockOption = Annotated[
    Path | None,
    typer.Option(
        "--lock",
        metavar="FILE",
        help="Lock file; else ./corral.lock where it exists.",
        show_default=False,
    ),
]


def lock(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...", help="Names of admitted models; else all.", show_default=False
        ),
    ] = None,
    lock_file: LockOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write admitted models into a lock file, from their receipts.

    Example: corral lock smol --lock models.lock
    """  # fmt: skip
    from corral.admission.lock_file import DEFAULT, check_writable, update_lock
    from corral.admission.locking import lock_model
    from corral.admission.source import parse_source

    place, path = open_home(home), (lock_file or Path(DEFAULT)).absolute()
    check_writable(path)
    if models:
        entries: Iterable[CatalogEntry] = [find_model(place, name) for name in models]
    else:
        found, faults = read_catalog(place)
        note_faults(faults)
        usable = [entry for entry in found if not entry.held]
        entries = [entry for entry in usable if entry.receipt.derivation is None]
        if len(entries) < len(usable):
            print_note("derived models are left out: lock their bases, and derive them again")
    locked = {
        str(entry.name): lock_model(parse_source(entry.source), entry.receipt, None, path.parent)
        for entry in entries
    }
    update_lock(path, locked)
    if as_json:
        print_json({"lock": str(path), "models": sorted(locked)})
    else:
        print_note(f"{path.name} has {len(locked)} models of this installation")


@dataclass(frozen=True, slots=True)
class LockInUse:
    """The lock file of a pull by source.

    Attributes:
        path: absolute.
        lock: what it says now; empty if it is to be made.
        place: what the operator asked for.
        name: of the model.
        asked: what the operator demands.
        wanted: that, and what the file demands besides.
    """

    path: Path
    lock: Lock
    place: Source
    name: str
    asked: LockedDemand
    wanted: LockedDemand

    def keep(self, entry: CatalogEntry) -> None:
        """Write an admitted model into the file, if it does not say so already.

        Raises:
            CorralError: codes of `update_lock`.
        """
        from corral.admission.lock_file import update_lock
        from corral.admission.locking import lock_model

        new = lock_model(self.place, entry.receipt, self.wanted.demand, self.path.parent)
        old = self.lock.models.get(self.name)
        if old is not None and self.wanted is not self.asked:
            from msgspec.structs import replace as with_fields

            # What it was pinned to is known from then; a signer may be new.
            new = with_fields(old, signed_by=old.signed_by or new.signed_by)
        if new != old:
            update_lock(self.path, {self.name: new})
            print_note(f"{entry.name} is locked in {self.path.name}")


def lock_in_use(
    chosen: Path | None, asked: LockedDemand, name: str | None, *, upgrade: bool
) -> LockInUse | None:
    """Return the lock file that a pull by source has to do with, or None.

    Args:
        chosen: what the operator named; None: that of the working directory, where it is.
        asked: what the operator demands.
        name: of the model, or None.
        upgrade: do not demand what the file says of it.

    Raises:
        CorralError: codes of `prepare_pull`, `read_lock`; `lock_source`, `lock_mismatch`,
            `lock_unwritable`.
    """
    from corral.admission.lock_file import DEFAULT, Lock, check_writable, read_lock
    from corral.admission.locking import check_lockable, demand_besides
    from corral.admission.pull import prepare_pull

    path = (chosen or Path(DEFAULT)).absolute()
    if chosen is None and not path.exists():
        return None
    place, model, expect = prepare_pull(asked.source, name, asked.expect)
    check_lockable(place)
    check_writable(path)
    lock = read_lock(path) if path.exists() else Lock(1)
    asked = replace(asked, expect=expect)
    wanted = asked if upgrade else demand_besides(lock, model, asked, place, path.parent)
    return LockInUse(path, lock, place, model, asked, wanted)


def pull_locked(
    names: list[str],
    chosen: Path | None,
    home: Home,
    settings: dict[str, object],
    rate: dict[str, object],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the models of a lock file be there, and print which ones were not.

    Raises:
        CorralError: codes of `read_lock`, `LockedPull.pull`.
        typer.Exit: code 1 of a dry run: a pull would be refused.
    """
    from corral.admission.lock_file import DEFAULT, read_lock
    from corral.admission.locked_pull import LockedPull
    from corral.cli.dry_run import dry_run as show_plans
    from corral.cli.engine_check import check_engine
    from corral.cli.first_policy import install_first_policy
    from corral.cli.job_unsafe import job_launcher
    from corral.cli.policed import policed_settings
    from corral.cli.scope_unsafe import settle_scope
    from corral.engine.trial import EngineTrial
    from corral.tenancy.setup import prepare_home

    path = (chosen or Path(DEFAULT)).absolute()
    lock = read_lock(path)
    settle_scope(effective_config(home, settings))

    def locked(place: Home, launcher: LauncherClient, progress: Progress) -> LockedPull:
        config = override_config(effective_config(home, settings), rate)
        return LockedPull(lock, path.parent, place, config, launcher, progress)

    if dry_run:
        show_plans(
            lambda *jail: locked(*jail).plans(names), home, settings, as_json=as_json, many=True
        )
        return
    prepare_home(home, on_new=install_first_policy)
    settings = policed_settings(home, settings)
    config = effective_config(home, settings)
    check_engine(home, config)
    with job_launcher(home, settings) as launcher, shown_progress() as progress:
        trial = EngineTrial(launcher, config)
        done = list(locked(home, launcher, progress).pull(names, trial))
    if as_json:
        print_json([entry_document(entry) | {"pulled": new} for entry, new in done])
        return
    print_table(
        ("MODEL", ">SIZE", "TRUST", "SHA256", ""),
        (
            (e.name, size_text(e.size_bytes), e.trust, e.digest[:12],
             "admitted" if new else "as locked")
            for e, new in done
        ),
        empty="the lock file has no models",
    )  # fmt: skip
