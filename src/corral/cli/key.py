"""`corral key`: create, list and revoke API keys.

Trust: operator side. A new key is printed once and kept nowhere.
Input: the operator's command line.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.options import HomeOption, JsonOption, open_home
from corral.cli.terminal import print_json, print_note, print_table, screen
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.tenancy.keys import KeyRecord

app = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke.")

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command("create")
def create(
    tenant: Annotated[
        str | None, typer.Argument(metavar="[TENANT]", help="Whose key.", show_default=False)
    ] = None,
    for_tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant", help="The same as TENANT.  [default: default]", show_default=False
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Your label for the key.")] = "key",
    admin: Annotated[
        bool, typer.Option("--admin", help="A key that may operate the server.")
    ] = False,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="SPAN", help="Life span: 30m, 12h, 90d, 4w.", show_default=False
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for a tenant and print it. It cannot be shown again.

    Example: corral key create acme --name ci --expires 90d
    """
    from corral.state.database import open_database
    from corral.tenancy.keys import create_key
    from corral.tenancy.token import load_pepper

    if tenant and for_tenant and tenant != for_tenant:
        raise typer.BadParameter("names another tenant than TENANT", param_hint="--tenant")
    place = open_home(home)
    token, record = create_key(
        open_database(place.database),
        load_pepper(place.pepper),
        tenant=tenant or for_tenant or "default",
        name=name,
        role="admin" if admin else "tenant",
        expires_at=None if expires is None else datetime.now(UTC) + parse_span(expires),
    )
    if as_json:
        print_json({"key": token, **key_document(record)})
    else:
        screen().print(token, soft_wrap=True)
        print_note("keep it now: it cannot be shown again")


@app.command("list")
def list_(
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Only this tenant's keys.", show_default=False)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List keys without their secret part.

    Example: corral key list --tenant acme
    """
    from corral.state.database import open_database
    from corral.tenancy.keys import list_keys

    records = list_keys(open_database(open_home(home).database), tenant=tenant)
    if as_json:
        print_json([key_document(record) for record in records])
        return
    print_table(
        (">ID", "PREFIX", "TENANT", "NAME", "ROLE", "STATUS", "EXPIRES", "LAST USED"),
        (
            (
                r.id, r.prefix, r.tenant, r.name, r.role, r.status(), _day(r.expires_at, "never"),
                _day(r.last_used_at, "-"),
            )
            for r in records
        ),
        empty="no keys: make one with corral key create TENANT",
    )  # fmt: skip


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Id or prefix of the key.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key for good; a running server denies it at once.

    Example: corral key revoke 7
    """
    from corral.state.database import open_database
    from corral.tenancy.keys import revoke_key

    record = revoke_key(open_database(open_home(home).database), key)
    if as_json:
        print_json(key_document(record))
    else:
        print_note(f"key {record.id} ({record.prefix}) of {record.tenant} is revoked")


def key_document(record: KeyRecord) -> dict[str, object]:
    """Return a key as it is printed with --json: everything but its secret."""
    return {
        "id": record.id,
        "prefix": record.prefix,
        "tenant": record.tenant,
        "name": record.name,
        "role": record.role,
        "status": record.status(),
        "created_at": _iso(record.created_at),
        "expires_at": _iso(record.expires_at),
        "revoked_at": _iso(record.revoked_at),
        "last_used_at": _iso(record.last_used_at),
    }


def parse_span(text: str) -> timedelta:
    """Return a span such as `90d`.

    Raises:
        CorralError: code `bad_expiry`.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", text)
    if not match:
        raise CorralError("bad_expiry", "a life span is a number with m, h, d or w, such as 90d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _day(moment: datetime | None, without: str) -> str:
    return moment.strftime("%Y-%m-%d %H:%M") if moment else without
