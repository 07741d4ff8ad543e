"""`corral show`: everything that is known about an admitted model.

Trust: operator side. Input: catalogue entries; what a receipt quotes of a model file is untrusted
and printed without control characters.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corral.cli.model_sheet import model_sheet
from corral.cli.models import entry_document, find_model
from corral.cli.options import HomeOption, JsonOption, ModelArgument, open_home
from corral.cli.terminal import print_facts, print_heading, print_json

if TYPE_CHECKING:
    from corral.admission.signed_receipt import SignedReceipt


def show(
    model: ModelArgument,
    receipt: Annotated[
        bool,
        typer.Option(
            "--receipt",
            help="Print the receipt as it was signed, with its signature, for others to verify.",
        ),
    ] = False,
    bom: Annotated[
        bool, typer.Option("--bom", help="Print the model's ML-BOM: CycloneDX 1.6, JSON.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model: origin, trust level and why, findings, chat template, resources, admission.

    All of it is from the receipt, whose signature is verified first.

    Example: corral show smollm2-135m-instruct --json
    """
    import msgspec

    if receipt and bom:
        raise typer.BadParameter("not together with --receipt", param_hint="--bom")
    place = open_home(home)
    entry = find_model(place, model, held_too=True)
    if receipt or bom:
        from corral.admission.signed_receipt import read_signed_receipt

        signed = read_signed_receipt(place, model)
        print_json(_bom(signed) if bom else signed_document(signed))
    elif as_json:
        print_json(entry_document(entry) | {"receipt": msgspec.to_builtins(entry.receipt)})
    else:
        for title, facts in model_sheet(entry.receipt):
            print_heading(title)
            print_facts((f"  {name}", value) for name, value in facts)


def signed_document(signed: SignedReceipt) -> dict[str, Any]:
    """Return a receipt and what it takes to verify it, but the key, which must come another way."""
    from corral.admission.receipt import RECEIPT_CONTEXT

    return {
        "algorithm": "Ed25519",
        "context": RECEIPT_CONTEXT.decode(),
        "key_fingerprint": signed.key_fingerprint,
        "receipt": signed.text,
        "receipt_sha256": signed.sha256,
        "signature": base64.b64encode(signed.signature).decode(),
    }


def _bom(signed: SignedReceipt) -> dict[str, Any]:
    from corral.admission.bom import make_bom

    return make_bom(signed.receipt, signed.sha256)
