"""`corral advisory`: what is known to be bad, and whether this installation is hit.

Trust: operator side. Input: shipped records and files of the state folder; catalogue entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.options import HomeOption, JsonOption
from corral.cli.terminal import print_facts, print_json, print_note, print_table
from corral.core.errors import CorralError
from corral.core.home import Home

if TYPE_CHECKING:
    from corral.advisories.database import Advisories
    from corral.advisories.engine import InstalledEngine
    from corral.advisories.record import Advisory

app = typer.Typer(no_args_is_help=True, help="Known-bad models, signers and engines.")


@app.command("list")
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the advisories, and what each means for the installed engine.

    Example: corral advisory list
    """
    from corral.advisories.database import load_advisories
    from corral.advisories.engine import installed_engine, judge

    engine = installed_engine().build
    known = load_advisories(Home.locate(home))
    rows = [(record, judge(record, engine)) for record in _sorted(known)]
    if as_json:
        print_json([{"id": r.id, "status": s, "summary": r.summary} for r, s in rows])
        return
    print_table(
        ("ID", "ENGINE", "RULES", "SUMMARY"),
        ((r.id, s, " ".join(r.corral.constructs) or "-", r.summary) for r, s in rows),
        empty="no advisories",
    )


@app.command("show")
def show(
    advisory: Annotated[str, typer.Argument(metavar="ID", help="Its id, or one of its aliases.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one advisory; with --json as the OSV record that it is.

    Example: corral advisory show CVE-2026-33298
    """
    import msgspec

    from corral.advisories.database import load_advisories
    from corral.advisories.engine import installed_engine, judge

    known = load_advisories(Home.locate(home))
    record = _find(known, advisory)
    if as_json:
        print_json(msgspec.to_builtins(record))
        return
    extension = record.corral
    facts = (
        ("id", record.id),
        ("also", ", ".join(record.aliases)),
        ("summary", record.summary),
        ("details", record.details),
        ("engine", judge(record, installed_engine().build)),
        ("rules", ", ".join(extension.constructs)),
        ("here", extension.answer),
        ("digests", ", ".join(extension.digests)),
        ("signers", ", ".join(extension.signers)),
        ("withdrawn", record.withdrawn or ""),
        *(("see", reference.url) for reference in record.references),
    )
    print_facts((name, value) for name, value in facts if value)


@app.command("check")
def check(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Look whether engine and admitted models are known to be bad.

    Exit code 1: the engine is on no list or has a flaw that nothing here stops, or an admitted
    model, its wheel or its signer is known to be bad.

    Example: corral advisory check --json
    """
    from corral.advisories.database import load_advisories
    from corral.advisories.engine import installed_engine, judge

    place = Home.locate(home)
    known, engine = load_advisories(place), installed_engine()
    status = {record.id: judge(record, engine.build) for record in _sorted(known)}
    affected = [name for name, one in status.items() if one == "affected"]
    models = _bad_models(known, place)
    refused = [name for name, one in status.items() if one == "refused"]
    unreached = [name for name, one in status.items() if one == "not-reached"]
    if as_json:
        print_json(
            {
                "advisories": len(status),
                "engine": _engine_document(engine),
                "affected": affected,
                "refused": refused,
                "not_reached": unreached,
                "models": [{"model": model, "advisory": record.id} for model, record in models],
            }
        )
    else:
        print_facts(
            (
                ("advisories", len(status)),
                ("engine", _engine_text(engine)),
                ("affected", ", ".join(affected) or "none"),
                ("kept out by rules", ", ".join(refused) or "none"),
                ("not reached", ", ".join(unreached) or "none"),
            )
        )
        for model, record in models:
            print_note(f"{model} is known to be bad: {record.id}; remove it: corral rm {model}")
    if affected or models or engine.build is None:
        raise typer.Exit(1)


def _sorted(known: Advisories) -> list[Advisory]:
    return [known.records[name] for name in sorted(known.records)]


def _find(known: Advisories, name: str) -> Advisory:
    for record in known.records.values():
        if name.upper() in {one.upper() for one in (record.id, *record.aliases)}:
            return record
    raise CorralError(
        "no_such_advisory",
        "there is no advisory of that id",
        remedy="see them with corral advisory list",
    )


def _bad_models(known: Advisories, home: Home) -> list[tuple[str, Advisory]]:
    from contextlib import closing

    from corral.admission.catalog import Catalog

    if not home.database.exists():
        return []
    with closing(Catalog(home.database, home.receipt_public_key.read_bytes())) as catalog:
        entries = catalog.entries().values()
    found: list[tuple[str, Advisory]] = []
    for entry in entries:
        record = known.about(*entry.receipt.advised)
        if record is not None:
            found.append((entry.name, record))
    return found


def _engine_document(engine: InstalledEngine) -> dict[str, object]:
    return {
        "version": engine.version,
        "sha256": engine.sha256,
        "build": engine.build.build if engine.build else None,
        "source": engine.build.source if engine.build else "",
    }


def _engine_text(engine: InstalledEngine) -> str:
    if engine.build is None:
        return f"unknown ({engine.version or 'not installed'}): counts as affected by everything"
    return f"llama.cpp b{engine.build.build} (xllamacpp {engine.version})"
