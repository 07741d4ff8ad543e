"""`corral scan`: look at a model file without loading it.

Trust: operator side. Input: a hostile file; it is parsed in a jail, and the report that comes back
is checked and printed without control characters.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral import __version__
from corral.cli.failure import typed_failure
from corral.cli.finding_table import ORDER, show_report
from corral.cli.models import find_model
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
from corral.cli.terminal import json_line, print_error, print_facts, print_json
from corral.core.errors import CorralError
from corral.core.home import Home

if TYPE_CHECKING:
    from corral.admission.estimate import Estimate
    from corral.admission.scan.request import Companion
    from corral.admission.scan.runner import ScannedFiles
    from corral.core.config import Engine


def scan(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH|NAME...",
            help="A file, or the name of an admitted model; all parts of a split model together "
            "(of one part the others are looked for beside it).",
        ),
    ],
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="PATH|NAME",
            help="Hold an adapter, a projector or a control vector against this model.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="PATH|NAME",
            help="Hold a draft model against this model.",
            show_default=False,
        ),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Look at every weight, however long it takes.")
    ] = False,
    fail_on: Annotated[
        str, typer.Option("--fail-on", help="Least severity that makes exit code 1.")
    ] = "flag",
    sarif: Annotated[
        bool, typer.Option("--sarif", help="Print the findings as a SARIF 2.1.0 log on stdout.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="With --sarif or --json: write to this file in place of stdout.",
            show_default=False,
        ),
    ] = None,
    tier: TierOption = None,
    runtime: RuntimeOption = None,
    allow_degraded: DegradedOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Parse a model file in a jail and report what is wrong or odd about it.

    Exit code 0 clean, 1 findings at or over --fail-on, 2 could not decide.

    Example: corral scan ./adapter.gguf --base smollm2 --json
    """
    if base and target:
        raise typer.BadParameter("not together with --base", param_hint="--target")
    if sarif and as_json:
        raise typer.BadParameter("not together with --json", param_hint="--sarif")
    if output and not (sarif or as_json):
        raise typer.BadParameter("only together with --sarif or --json", param_hint="--output")
    if fail_on not in ORDER:
        raise typer.BadParameter("must be info, flag or reject", param_hint="--fail-on")
    settings = sandbox_settings(tier, runtime, allow_degraded)
    try:
        companion: tuple[Companion, str] = ("base", base) if base else ("target", target or "")
        place = Home.locate(home)
        scanned = _scan(targets, companion, place, settings, deep=deep)
        engine = effective_config(place, settings).engine
        if sarif or as_json:
            document = _sarif(scanned) if sarif else _json(scanned, _estimate(scanned, engine))
            _print_document(document, output)
        else:
            show_report(scanned.report)
            _show_estimate(_estimate(scanned, engine))
    except (CorralError, PermissionError) as error:
        failure = typed_failure(error)
        if sarif:
            _print_failure(failure, output)
        print_error(failure, as_json=as_json)
        raise typer.Exit(2) from error
    if any(ORDER[f.severity] >= ORDER[fail_on] for f in scanned.report.findings):
        raise typer.Exit(1)


def _sarif(scanned: ScannedFiles) -> object:
    from corral.admission.sarif import make_sarif

    return make_sarif(scanned, version=__version__)


def _json(scanned: ScannedFiles, estimate: Estimate | None) -> object:
    import msgspec

    return msgspec.to_builtins(scanned.report) | {"estimate": msgspec.to_builtins(estimate)}


def _estimate(scanned: ScannedFiles, config: Engine) -> Estimate | None:
    """Return what a worker would take with what is configured; None for what is no model."""
    from corral.admission.demand import context_tokens
    from corral.admission.estimate import estimate_memory

    facts = scanned.report.facts
    if facts is None:
        return None
    tokens = context_tokens(facts, config)
    return estimate_memory(facts.memory, context_tokens=tokens, parallel=config.parallel)


def _show_estimate(estimate: Estimate | None) -> None:
    from corral.cli.model_sheet import estimate_facts

    if estimate is not None:
        print_facts(estimate_facts(estimate))


def _print_failure(failure: CorralError, output: Path | None) -> None:
    from corral.admission.sarif import make_failure_sarif

    # Where not even this can be written, the error that is printed next has to do.
    with suppress(CorralError):
        _print_document(make_failure_sarif(failure, version=__version__), output)


def _print_document(document: object, output: Path | None) -> None:
    if output is None:
        print_json(document)
        return
    try:
        output.write_text(json_line(document), encoding="ascii")
    except OSError as error:
        raise CorralError(
            "output_not_written",
            "the file of --output cannot be written",
            remedy="name a file in a folder that exists and is yours",
        ) from error


def _scan(
    targets: list[str],
    companion: tuple[Companion, str],
    home: Home,
    settings: dict[str, object],
    *,
    deep: bool,
) -> ScannedFiles:
    from corral.admission.scan.runner import scan_files
    from corral.admission.scan.siblings import with_siblings
    from corral.cli.first_policy import install_first_policy
    from corral.cli.job_unsafe import job_launcher
    from corral.cli.policed import policed_settings
    from corral.cli.scope_unsafe import settle_scope
    from corral.tenancy.setup import prepare_home

    config = effective_config(home, settings)
    settle_scope(config)
    prepare_home(home, on_new=install_first_policy)
    paths = [_file_of(target, home) for target in targets]
    role, name = companion
    model = _file_of(name, home) if name else None
    settings = policed_settings(home, settings)
    with job_launcher(home, settings) as launcher, shown_progress() as progress:
        return scan_files(
            paths if len(paths) > 1 else with_siblings(paths[0]),
            home=home, config=config, launcher=launcher, progress=progress, deep=deep,
            companion=role if name else "", model=model,
        )  # fmt: skip


def _file_of(target: str, home: Home) -> Path:
    """Return the file that is meant: the one of that path, else the blob of the model."""
    path = Path(target)
    if os.path.lexists(path):
        return path
    try:
        return home.blob(find_model(home, target).digest)
    except CorralError:
        # Whoever types this means a file, and is told that there is none (`source_missing`).
        if "/" in target or target.lower().endswith(".gguf"):
            return path
        raise
