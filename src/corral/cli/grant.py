"""`corral grant`: which tenant may use which model.

Trust: operator side. Input: the operator's command line.
"""

from __future__ import annotations

from typing import Annotated

import typer

from corral.cli.options import HomeOption, JsonOption, TenantArgument, open_state
from corral.cli.terminal import print_json, print_note, print_table

app = typer.Typer(no_args_is_help=True, help="Grants: which tenant may use which model.")

GrantedModel = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name of a model, or '*' for every admitted one.")
]


@app.command("add")
def add(
    tenant: TenantArgument,
    model: GrantedModel,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a tenant use a model; a running server knows at once.

    Example: corral grant add acme smollm2-135m-instruct
    """
    from corral.tenancy.grants import grant_model

    grant_model(open_state(home).database, tenant, model)
    if as_json:
        print_json({"tenant": tenant, "model": model, "granted": True})
    else:
        print_note(f"{tenant} may use {model}")


@app.command("list")
def list_(
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Only this tenant's grants.", show_default=False)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List grants.

    Example: corral grant list --tenant acme
    """
    from corral.tenancy.grants import list_grants

    grants = list_grants(open_state(home).database, tenant=tenant)
    if as_json:
        print_json(
            [
                {"tenant": g.tenant, "model": g.model, "created_at": g.created_at.isoformat()}
                for g in grants
            ]
        )
        return
    print_table(
        ("TENANT", "MODEL", "SINCE"),
        ((g.tenant, g.model, f"{g.created_at:%Y-%m-%d}") for g in grants),
        empty="no grants: nobody may use anything",
    )


@app.command("revoke")
def revoke(
    tenant: TenantArgument,
    model: GrantedModel,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a grant back; new requests are denied at once.

    Example: corral grant revoke acme '*'
    """
    from corral.tenancy.grants import revoke_grant

    revoke_grant(open_state(home).database, tenant, model)
    if as_json:
        print_json({"tenant": tenant, "model": model, "granted": False})
    else:
        print_note(f"{tenant} may no longer use {model}")
