"""`corral sanitation`: the policies of what may go into models and come out of them.

Trust: operator side. Input: the operator's command line and file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corral.cli.options import HomeOption, JsonOption, open_state
from corral.cli.terminal import print_facts, print_heading, print_json, print_note, print_table
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.guard.policy import SanitationPolicy
    from corral.guard.policy_file import PolicySet

app = typer.Typer(no_args_is_help=True, help="Policies for texts of requests and answers.")

_File = Annotated[Path, typer.Argument(metavar="FILE", help="Policies, in TOML.")]


@app.command("show")
def show(
    policy: Annotated[
        str, typer.Argument(metavar="[POLICY]", help="All of one policy.", show_default=False)
    ] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the policies that hold and whose requests go by which, or all that one policy says.

    Example: corral sanitation show balanced
    """
    from corral.gateway.sanitation_table import read_document
    from corral.guard.policy_file import parse_policy_set

    policies = parse_policy_set(read_document(open_state(home).database))
    if policy:
        _show_one(find_policy(policies, policy), as_json=as_json)
    else:
        _show_all(policies, as_json=as_json)


@app.command("check")
def check(file: _File, as_json: JsonOption = False) -> None:
    """Say whether a file could be set; nothing is changed.

    Example: corral sanitation check sanitation.toml
    """
    from corral.guard.policy_file import parse_policy_set

    _show_all(parse_policy_set(read_policy_file(file)), as_json=as_json)


@app.command("set")
def set_(file: _File, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Set the policies; a running server goes by them from the next request on.

    Example: corral sanitation set sanitation.toml
    """
    from corral.gateway.sanitation_table import set_document
    from corral.guard.policy_file import parse_policy_set

    document = read_policy_file(file)
    set_document(open_state(home).database, document)
    policies = parse_policy_set(document)
    _show_all(policies, as_json=as_json)
    for one in policies.used:
        if one.weakening and not as_json:
            print_note(f"{one.name} is weakened: {one.weakening}")


@app.command("reset")
def reset(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Go back to the default: everybody's requests go by `balanced`.

    Example: corral sanitation reset
    """
    from corral.gateway.sanitation_table import remove_document

    was_there = remove_document(open_state(home).database)
    if as_json:
        print_json({"reset": was_there})
    else:
        print_note("everybody's requests go by balanced")


def read_policy_file(file: Path) -> str:
    """Return what a file of policies says.

    Raises:
        CorralError: code `sanitation_unreadable`.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorralError(
            "sanitation_unreadable", f"'{file}' cannot be read as text in UTF-8"
        ) from error


def find_policy(policies: PolicySet, name: str) -> SanitationPolicy:
    """Return a policy by its name; `off` as it is built in.

    Raises:
        CorralError: code `no_such_policy`.
    """
    from corral.guard.policy import built_in

    if name == "off":
        return built_in("off")
    found = policies.policies.get(name)
    if found is None:
        raise CorralError(
            "no_such_policy", "there is no such policy", remedy="corral sanitation show"
        )
    return found


def _show_all(policies: PolicySet, *, as_json: bool) -> None:
    names = ("tenant", "key", "model", "route", "policy")
    if as_json:
        print_json({
            "default": policies.default.name,
            "policies": [_document(one) for one in policies.policies.values()],
            "rules": [dict(zip(names, rule, strict=True)) for rule in policies.rules],
        })  # fmt: skip
        return
    print_table(
        ("POLICY", "BASE", "MODE", "WEAKENING"),
        ((one.name, one.base, one.mode, one.weakening) for one in policies.policies.values()),
        empty="",
    )
    print_table(
        tuple(name.upper() for name in names),
        (
            *(tuple(word or "-" for word in rule) for rule in policies.rules),
            ("-", "-", "-", "-", policies.default.name),
        ),
        empty="",
    )


def _show_one(policy: SanitationPolicy, *, as_json: bool) -> None:
    from corral.guard.kinds import KINDS

    if as_json:
        print_json(_document(policy))
        return
    facts = [("policy", policy.name), ("base", policy.base), ("mode", policy.mode)]
    print_facts([*facts, *([("weakening", policy.weakening)] if policy.weakening else [])])
    print_table(
        ("DIRECTION", "STAGE", "FINDING", "HANDLING", "MAY BE"),
        (
            (kind.direction, kind.stage, name, policy.handling[name], ", ".join(kind.choices))
            for name, kind in KINDS.items()
        ),
        empty="",
    )
    options = _document(policy)["options"]
    if options:
        print_heading("options")
        print_facts(options.items())


def _document(policy: SanitationPolicy) -> dict[str, Any]:
    import msgspec

    from corral.guard.kinds import KINDS

    sides: dict[str, dict[str, str]] = {"input": {}, "output": {}}
    for name, kind in KINDS.items():
        sides[kind.direction][name] = str(policy.handling[name])
    return {
        "name": policy.name, "base": policy.base, "mode": policy.mode,
        "weakening": policy.weakening, **sides,
        "options": msgspec.structs.asdict(policy.options),
    }  # fmt: skip
