"""`corral tenant`: add, list, freeze and unfreeze tenants.

Trust: operator side. Input: the operator's command line.
"""

from __future__ import annotations

import typer

from corral.cli.options import HomeOption, JsonOption, TenantArgument, open_home
from corral.cli.terminal import print_json, print_note, print_table

app = typer.Typer(no_args_is_help=True, help="Tenants: who shares nothing with whom.")


@app.command("add")
def add(tenant: TenantArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Add a tenant. It may use nothing until it has a key and a grant.

    Example: corral tenant add acme
    """
    from corral.state.database import open_database
    from corral.tenancy.tenants import add_tenant

    added = add_tenant(open_database(open_home(home).database), tenant)
    if as_json:
        print_json({"name": added.name, "created_at": added.created_at.isoformat()})
    else:
        print_note(
            f"added; next: corral key create {added.name}, corral grant add {added.name} '*'"
        )


@app.command("list")
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List tenants.

    Example: corral tenant list
    """
    from corral.state.database import open_database
    from corral.tenancy.tenants import list_tenants

    tenants = list_tenants(open_database(open_home(home).database))
    if as_json:
        print_json(
            [
                {
                    "name": t.name,
                    "created_at": t.created_at.isoformat(),
                    "frozen_at": t.frozen_at.isoformat() if t.frozen_at else None,
                }
                for t in tenants
            ]
        )
        return
    print_table(
        ("TENANT", "SINCE", "STATE"),
        (
            (t.name, f"{t.created_at:%Y-%m-%d}", "frozen" if t.frozen_at else "active")
            for t in tenants
        ),
        empty="no tenants: add one with corral tenant add TENANT",
    )


@app.command("freeze")
def freeze(tenant: TenantArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Deny every key of a tenant at once; nothing of it is deleted.

    Example: corral tenant freeze acme
    """
    _set_frozen(tenant, home, frozen=True, as_json=as_json)


@app.command("unfreeze")
def unfreeze(tenant: TenantArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Let a frozen tenant's keys in again.

    Example: corral tenant unfreeze acme
    """
    _set_frozen(tenant, home, frozen=False, as_json=as_json)


def _set_frozen(tenant: str, home: str | None, *, frozen: bool, as_json: bool) -> None:
    from corral.state.database import open_database
    from corral.tenancy.tenants import freeze_tenant

    freeze_tenant(open_database(open_home(home).database), tenant, frozen=frozen)
    if as_json:
        print_json({"name": tenant, "frozen": frozen})
    else:
        print_note(f"{tenant} is {'frozen' if frozen else 'active again'}")
