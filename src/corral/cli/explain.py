"""`corral explain`: what a rule of the scanner means, why it matters and how to mend it.

Trust: operator side. Input: the operator's command line, package data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.options import JsonOption
from corral.cli.terminal import print_facts, print_json, print_table
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.admission.rules import Rule


def explain(
    rule: Annotated[
        str | None,
        typer.Argument(metavar="RULE", help="Code of a finding.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a rule of corral scan means, why it matters and how to mend it; or list all.

    Example: corral explain nbytes_overflow
    """
    from corral.admission.rules import reference_address, rules

    if rule is None:
        if as_json:
            print_json([_document(one) for one in rules().values()])
            return
        print_table(
            ("RULE", "SEVERITY", "AREA", "WHAT"),
            ((one.id, one.severity, one.area, one.title) for one in rules().values()),
            empty="no rules",
        )
        return
    one = _find(rule)
    if as_json:
        print_json(_document(one))
        return
    print_facts(
        (
            ("rule", one.id),
            ("what", one.title),
            ("severity", one.severity),
            ("area", one.area),
            ("why", one.why),
            ("do", one.mend),
            *(
                ("see", f"{reference}  {reference_address(reference)}")
                for reference in one.references
            ),
        )
    )


def _find(name: str) -> Rule:
    from difflib import get_close_matches

    from corral.admission.rules import rules

    wanted = name.strip().lower().replace("-", "_")
    if wanted in rules():
        return rules()[wanted]
    close = get_close_matches(wanted, rules(), cutoff=0.5)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    raise CorralError(
        "no_such_rule",
        "there is no rule of that name",
        remedy=f"{meant}see all with corral explain",
    )


def _document(rule: Rule) -> dict[str, object]:
    import msgspec

    from corral.admission.rules import reference_address

    document: dict[str, object] = msgspec.to_builtins(rule)
    document["references"] = [
        {"text": reference, "url": reference_address(reference)} for reference in rule.references
    ]
    return document
