"""`corral tenant`: add, list, show, freeze, thaw, remove and wipe tenants.

Trust: operator side. Input: the operator's command line.
"""

from __future__ import annotations

from typing import Annotated

import typer

from corral.cli.options import HomeOption, JsonOption, TenantArgument, open_state
from corral.cli.terminal import print_json, print_note, print_table
from corral.core.errors import CorralError

app = typer.Typer(no_args_is_help=True, help="Tenants: who shares nothing with whom.")


@app.command("add")
def add(
    tenant: TenantArgument,
    reuse: Annotated[
        bool,
        typer.Option(
            "--reuse", help="Take the name of a removed tenant, with the usage on record under it."
        ),
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a tenant. It may use nothing until it has a key and a grant.

    Example: corral tenant add acme
    """
    from corral.tenancy.tenants import add_tenant

    added = add_tenant(open_state(home).database, tenant, reuse=reuse)
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
    from corral.tenancy.tenants import list_tenants

    tenants = list_tenants(open_state(home).database)
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


@app.command("show")
def show(tenant: TenantArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show a tenant: state, keys, models, requests on record.

    Example: corral tenant show acme
    """
    from corral.tenancy.tenants import show_tenant

    one, has = show_tenant(open_state(home).database, tenant)
    if as_json:
        print_json(
            {
                "name": one.name,
                "created_at": one.created_at.isoformat(),
                "frozen_at": one.frozen_at.isoformat() if one.frozen_at else None,
                "live_keys": has.live_keys,
                "keys": has.keys,
                "models": list(has.models),
                "requests": has.requests,
                "last_request_at": has.last_request_at.isoformat() if has.last_request_at else None,
            }
        )
        return
    last = f"{has.last_request_at:%Y-%m-%d %H:%M}" if has.last_request_at else "-"
    print_table(
        ("TENANT", one.name),
        (
            ("since", f"{one.created_at:%Y-%m-%d}"),
            ("state", f"frozen since {one.frozen_at:%Y-%m-%d %H:%M}" if one.frozen_at
             else "active"),
            ("keys", f"{has.live_keys} live of {has.keys}"),
            ("models", ", ".join(has.models) or "none"),
            ("requests", str(has.requests)),
            ("last request", last),
        ),
        empty="",
    )  # fmt: skip


@app.command("freeze")
def freeze(tenant: TenantArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Deny every key of a tenant and stop its engines at once; nothing of it is deleted.

    A running server ends its streams and engines within a second.

    Example: corral tenant freeze acme
    """
    _set_frozen(tenant, home, frozen=True, as_json=as_json)


@app.command("thaw")
def thaw(tenant: TenantArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Let a frozen tenant's keys in again.

    Example: corral tenant thaw acme
    """
    _set_frozen(tenant, home, frozen=False, as_json=as_json)


@app.command("remove")
def remove(
    tenant: TenantArgument,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also if it has live keys or requests on record.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a tenant: revoke its keys, drop its grants, stop its engines.

    Its usage stays on record, and nobody else gets its name unless you say so (add --reuse).

    Example: corral tenant remove acme --yes
    """
    from corral.tenancy.tenants import remove_tenant

    had = remove_tenant(open_state(home).database, tenant, sure=yes)
    if as_json:
        print_json({"name": tenant, "removed": True, "revoked_keys": had.live_keys})
    else:
        print_note(f"{tenant} is removed; {had.live_keys} live keys of it are revoked")


@app.command("wipe")
def wipe(
    tenant: TenantArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: nothing can bring it back.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Destroy a tenant's key and with it all that was encrypted for it; kill its engines.

    Its API keys are revoked. Grants, limits, usage and the audit log stay. It is frozen then, and
    after corral tenant thaw it begins anew, with a new key.

    Example: corral tenant wipe acme --yes
    """
    from corral.cli.server import connected
    from corral.tenancy.wipe import erase_tenant, freeze_for_wipe

    place = open_state(home)
    if not yes:
        raise CorralError(
            "not_confirmed", "a wipe cannot be undone", remedy="if that is meant, add --yes"
        )
    frozen, stopped = freeze_for_wipe(place.database, tenant), 0
    try:
        with connected(place) as launcher:
            for worker in [w for w in launcher.workers() if w.tenant == frozen]:
                try:
                    launcher.stop(worker.worker_id)
                except CorralError as error:
                    if error.code != "no_such_worker":  # the gateway ends them too, meanwhile
                        raise
                stopped += 1
    except CorralError as error:
        if error.code != "not_running":
            raise
    erase_tenant(place.database, frozen)
    if as_json:
        print_json({"name": frozen, "wiped": True, "stopped": stopped})
    else:
        print_note(f"{frozen} is wiped and frozen; {stopped} of its workers were stopped")


def _set_frozen(tenant: str, home: str | None, *, frozen: bool, as_json: bool) -> None:
    from corral.tenancy.tenants import freeze_tenant

    freeze_tenant(open_state(home).database, tenant, frozen=frozen)
    if as_json:
        print_json({"name": tenant, "frozen": frozen})
    else:
        print_note(f"{tenant} is {'frozen' if frozen else 'active again'}")
