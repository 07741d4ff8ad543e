"""`corral pull --dry-run`: what a pull would fetch, and what is known of its outcome.

Trust: operator side. Input: the operator's command line; claims of servers, shown as text.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from corral.admission.expectation import Expectation
from corral.admission.plan import PlannedFile, PullPlan, plan_pull
from corral.admission.signing.demand import SignatureDemand
from corral.cli.first_policy import install_first_policy
from corral.cli.job_unsafe import job_launcher
from corral.cli.progress import shown_progress
from corral.cli.terminal import print_error, print_facts, print_json, print_note, size_text
from corral.core.config import Config
from corral.core.home import Home
from corral.tenancy.setup import prepare_home


def dry_run_pull(
    source: str,
    *,
    home: Home,
    config: Config,
    settings: Mapping[str, object],
    expect: Expectation,
    name: str | None,
    demand: SignatureDemand | None,
    as_json: bool,
) -> None:
    """Print what a pull would do.

    Raises:
        CorralError: codes of `plan_pull`, or the launcher's refusal.
        typer.Exit: code 1: the pull would be refused.
    """
    with (
        _installation(home) as place,
        job_launcher(place, settings) as launcher,
        shown_progress() as progress,
    ):
        plan = plan_pull(
            source,
            home=place,
            config=config,
            launcher=launcher,
            expect=expect,
            name=name,
            progress=progress,
            demand=demand,
        )
    if as_json:
        print_json(_document(plan))
    else:
        print_facts(_facts(plan))
        print_note("nothing was changed")
    if plan.refusal is not None:
        if not as_json:
            print_error(plan.refusal, as_json=False)
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
        return "yes; it would be fetched again, unless --sha256 names it"
    return "no"


def _document(plan: PullPlan) -> dict[str, Any]:
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
