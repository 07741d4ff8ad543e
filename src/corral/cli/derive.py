"""`corral derive`: make a new model of an admitted one, with another chat template.

Trust: operator side. Input: the operator's command line; the template is parsed in jails only.
"""

from __future__ import annotations

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
        Path,
        typer.Option(
            "--chat-template",
            metavar="FILE",
            help="Jinja template that is served in place of the model's own.",
        ),
    ],
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

    Both share one file in the store. What is refused leaves nothing behind.

    Example: corral derive smollm2-135m-instruct --as house-style --chat-template house.jinja
    """
    from corral.admission.deriving import derive_model
    from corral.cli.engine_check import check_engine
    from corral.cli.job_unsafe import job_launcher
    from corral.cli.policed import policed_settings
    from corral.cli.scope_unsafe import settle_scope
    from corral.engine.trial import EngineTrial

    place = open_home(home)
    settings = policed_settings(place, sandbox_settings(tier, runtime, allow_degraded))
    config = effective_config(place, settings)
    settle_scope(config)
    check_engine(place, config)
    with job_launcher(place, settings) as launcher, shown_progress() as progress:
        entry = derive_model(
            base,
            name=name,
            template=chat_template,
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
    print_facts(
        (
            ("would be admitted" if dry_run else "admitted", entry.name),
            ("identity", entry.identity),
            ("base", base),
            ("chat template", entry.receipt.template.outcome),
            ("trust", entry.trust),
        )
    )
    print_note("nothing was changed" if dry_run else f'next: corral run {entry.name} "Hello"')
