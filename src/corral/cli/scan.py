"""`corral scan`: look at a model file without loading it.

Trust: operator side. Input: a hostile file; it is parsed in a jail, and the report that comes back
is checked and printed without control characters.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.failure import typed_failure
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
from corral.cli.terminal import print_error, print_json, print_note, print_table
from corral.core.errors import CorralError
from corral.core.home import Home

if TYPE_CHECKING:
    from corral.admission.report import Report, TemplateReport
    from corral.admission.scan.request import Companion

_ORDER = {"info": 0, "flag": 1, "reject": 2}
_STYLES = {"info": "dim", "flag": "yellow", "reject": "bold red"}


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
    if fail_on not in _ORDER:
        raise typer.BadParameter("must be info, flag or reject", param_hint="--fail-on")
    settings = sandbox_settings(tier, runtime, allow_degraded)
    try:
        companion: tuple[Companion, str] = ("base", base) if base else ("target", target or "")
        report = _scan(targets, companion, Home.locate(home), settings, deep=deep)
    except (CorralError, PermissionError) as error:
        print_error(typed_failure(error), as_json=as_json)
        raise typer.Exit(2) from error
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(report))
    else:
        _show(report)
    if any(_ORDER[f.severity] >= _ORDER[fail_on] for f in report.findings):
        raise typer.Exit(1)


def _scan(
    targets: list[str],
    companion: tuple[Companion, str],
    home: Home,
    settings: dict[str, object],
    *,
    deep: bool,
) -> Report:
    from corral.admission.scan.runner import scan_files
    from corral.admission.scan.siblings import with_siblings
    from corral.cli.job_unsafe import job_launcher
    from corral.cli.scope_unsafe import settle_scope
    from corral.tenancy.setup import prepare_home

    config = effective_config(home, settings)
    settle_scope(config)
    prepare_home(home)
    paths = [_file_of(target, home) for target in targets]
    role, name = companion
    model = _file_of(name, home) if name else None
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


def _show(report: Report) -> None:
    from rich.text import Text

    print_table(
        ("SEVERITY", "CODE", "WHERE", "MESSAGE"),
        (
            (Text(f.severity, style=_STYLES[f.severity]), f.code, f.where or "-", f.message)
            for f in sorted(report.findings, key=lambda f: -_ORDER[f.severity])
        ),
        empty="nothing found",
    )
    if report.template is not None:
        _show_template(report.template)
    print_note(f"verdict: {report.verdict}")


def _show_template(template: TemplateReport) -> None:
    name = f" ({template.name})" if template.name else ""
    print_note(f"chat template: {template.outcome}{name}")
    if template.nearest:
        print_note(
            f"most like {template.nearest}, without {template.missing} of its lines and with:"
        )
        for line in template.added:
            print_note(f"  + {line}")
