"""`corral admit`: decide models anew under a policy, and put a policy in force.

Trust: operator side. Input: the operator's command line and policy; verified receipts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from corral.cli.options import HomeOption, JsonOption, open_home
from corral.cli.terminal import print_json, print_note, print_table
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.admission.receipt import Receipt
    from corral.admission.redeciding import Outcome

_SHIPPED: Final = "default"
HELD_EXIT: Final = 3
"""Exit code where a model is held back, or would be."""


def admit(
    model: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Names of models.", show_default=False),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All models; the policy becomes the standing one.")
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="FILE",
            help="Policy (TOML); `default` is the one that corral ships. Else the standing one.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be decided; change nothing.")
    ] = False,
    print_policy: Annotated[
        bool, typer.Option("--print-policy", help="Print the standing policy and leave.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide models anew by their receipts, under the standing policy or another one.

    With --policy and no MODEL, all models are decided and the policy is the standing one from then
    on: corral pull asks it. A model that it refuses is held back: nobody can use it, and another
    policy can let it in again. Exit code 3: a model is held back.

    Example: corral admit --policy lab.toml --dry-run
    """
    if model and every:
        raise typer.BadParameter("name models, or say --all", param_hint="--all")
    if not (model or every or policy or print_policy):
        raise typer.BadParameter("name a model, or say --all", param_hint="MODEL")
    place = open_home(home)
    if print_policy:
        from corral.admission.policy.standing import read_standing

        sys.stdout.write(read_standing(place).text.decode())
        return
    from corral.admission.redeciding import redecide

    text = policy_text(policy) if policy else None
    outcome = redecide(place, model or None, policy=text, dry_run=dry_run)
    if as_json:
        print_json(_document(outcome, dry_run=dry_run))
    else:
        _show(outcome, dry_run=dry_run)
    if any(one.after.decision.outcome == "hold" for one in outcome.models):
        raise typer.Exit(HELD_EXIT)


def policy_text(policy: str) -> bytes:
    """Return the text of a policy.

    Raises:
        CorralError: code `policy_unreadable`.
    """
    from corral.admission.policy.document import POLICY_BYTES
    from corral.admission.policy.shipped import default_policy_text

    if policy == _SHIPPED:
        return default_policy_text()
    try:
        with Path(policy).open("rb") as file:
            return file.read(POLICY_BYTES + 1)
    except OSError as error:
        raise CorralError(
            "policy_unreadable",
            "the policy file cannot be read",
            remedy="name a TOML file (see docs/policy.md), or `default`",
        ) from error


def _document(outcome: Outcome, *, dry_run: bool) -> dict[str, object]:
    import msgspec

    return {
        "policy": {"name": outcome.policy.name, "sha256": outcome.policy.sha256},
        "dry_run": dry_run,
        "installed": outcome.installed,
        "models": [
            {
                "name": one.after.name,
                "sha256": one.after.digest,
                "before": level(one.before),
                "after": level(one.after),
                "decision": msgspec.to_builtins(one.after.decision),
            }
            for one in outcome.models
        ],
        "unverified": list(outcome.unverified),
    }


def level(receipt: Receipt) -> str:
    """Return the trust level as it is shown: `held` is none."""
    return "held" if receipt.decision.outcome == "hold" else receipt.trust


def _show(outcome: Outcome, *, dry_run: bool) -> None:
    print_table(
        ("MODEL", "BEFORE", "AFTER", "RULE", "WHY"),
        (
            (
                one.after.name, level(one.before), level(one.after), one.after.decision.rule,
                one.after.decision.reasons[-1],
            )
            for one in outcome.models
        ),
        empty="no models: the policy waits for corral pull SOURCE",
    )  # fmt: skip
    named = f"{outcome.policy.name} (sha256 {outcome.policy.sha256[:12]})"
    if dry_run:
        print_note(f"nothing was changed: this is what the policy {named} would decide")
    elif outcome.installed:
        print_note(f"the standing policy is {named}")
    for name in outcome.unverified:
        print_note(f"{name}: its receipt does not verify, so it is no model")
