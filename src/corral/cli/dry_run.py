"""`corral pull --dry-run`: what a pull would fetch, and what is known of its outcome.

Trust: operator side. Input: the operator's command line; claims of servers, shown as text.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from corral.admission.plan import PlannedFile, PullPlan
from corral.admission.progress import Progress
from corral.cli.first_policy import install_first_policy
from corral.cli.job_unsafe import job_launcher
from corral.cli.progress import shown_progress
from corral.cli.terminal import print_error, print_facts, print_json, print_note, size_text
from corral.control.client import LauncherClient
from corral.core.home import Home
from corral.tenancy.setup import prepare_home

Planned = Callable[[Home, LauncherClient, Progress], Iterable[tuple[str, PullPlan | None]]]


def dry_run(
    plans: Planned, home: Home, settings: Mapping[str, object], *, as_json: bool, many: bool
) -> None:
    """Print what pulls would do.

    Args:
        plans: yields each model's name with its plan; None: it is there as it is wanted.
        home: state folder.
        settings: dotted settings over the configuration file.
        as_json: print a document, or with `many` a list of them.
        many: of a lock file.

    Raises:
        CorralError: codes of `plan_pull`, or the launcher's refusal.
        typer.Exit: code 1: a pull would be refused.
    """
    with (
        _installation(home) as place,
        job_launcher(place, settings) as launcher,
        shown_progress() as progress,
    ):
        found = list(plans(place, launcher, progress))
    if as_json:
        documents = [_document(name, plan) for name, plan in found]
        print_json(documents if many else documents[0])
    else:
        for name, plan in found:
            print_facts(_facts(plan) if plan else (("name", name), ("in the store", "as locked")))
        print_note("nothing was changed")
    refusals = [plan.refusal for _, plan in found if plan and plan.refusal]
    if not as_json:
        for refusal in refusals:
            print_error(refusal, as_json=False)
    if refusals:
        raise typer.Exit(1)


@contextmanager
def _installation(home: Home) -> Iterator[Home]:
    """Yield the installation, or one for the time being where there is none: none is to be made."""
    if home.database.exists():
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="corral-dry-run-") as folder:
        # Jails reach their files through it with an unprivileged uid.
        Path(folder).chmod(0o711)
        place = Home(Path(folder) / "home")
        place.root.mkdir()
        if home.config_file.is_file():
            shutil.copyfile(home.config_file, place.config_file)
        prepare_home(place, on_new=install_first_policy)
        yield place


def _facts(plan: PullPlan) -> Iterator[tuple[str, object]]:
    yield "name", plan.name
    for file in plan.files:
        yield "source", file.source
        if file.url:
            yield "host", file.host
            yield "from", file.url
        what = "wheel size" if file.wheel_sha256 else "size"
        yield what, "not told" if file.size_bytes is None else size_text(file.size_bytes)
        if file.partial_bytes:
            yield "there already", f"{size_text(file.partial_bytes)} of an interrupted pull"
        yield "sha256", file.sha256 or "not told before it is fetched"
        for label, value in (
            ("wheel sha256", file.wheel_sha256),
            ("manifest", file.manifest_sha256),
            ("revision", file.revision),
        ):
            if value:
                yield label, value
    yield "in the store", _stored(plan)
    need = "not told" if plan.needed_bytes is None else f"up to {size_text(plan.needed_bytes)}"
    yield "disk", f"needs {need}; {size_text(plan.free_bytes)} free"
    for signer in plan.signers:
        yield "signed by", f"{signer.name} ({signer.fingerprint})"
    yield "trust", _trust(plan)


def _trust(plan: PullPlan) -> str:
    if plan.refusal is not None:
        return "refused"
    if plan.trust is None:
        return f"not known yet: the policy asks for {', '.join(plan.waits_for)}"
    return f"{plan.trust}, if scan and trial pass"


def _stored(plan: PullPlan) -> str:
    if not plan.fetches:
        return "yes: nothing would be fetched"
    if plan.in_store:
        return "yes; it would be fetched again, because --sha256 does not name it"
    return "no"


def _document(name: str, plan: PullPlan | None) -> dict[str, Any]:
    if plan is None:
        return {"dry_run": True, "name": name, "as_locked": True}
    refusal = plan.refusal
    return {
        "dry_run": True,
        "name": plan.name,
        "files": [_file_document(file) for file in plan.files],
        "in_store": plan.in_store,
        "fetches": plan.fetches,
        "trust": plan.trust,
        "trust_waits_for": list(plan.waits_for),
        "signed_by": [
            {"name": signer.name, "fingerprint": signer.fingerprint} for signer in plan.signers
        ],
        "needed_bytes": plan.needed_bytes,
        "free_bytes": plan.free_bytes,
        "refusal": None if refusal is None else {
            "code": refusal.code, "message": refusal.message, "remedy": refusal.remedy,
        },
    }  # fmt: skip


def _file_document(file: PlannedFile) -> dict[str, Any]:
    return {
        "source": file.source,
        "host": file.host,
        "url": file.url,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "wheel_sha256": file.wheel_sha256,
        "manifest_sha256": file.manifest_sha256,
        "revision": file.revision,
        "partial_bytes": file.partial_bytes,
    }
