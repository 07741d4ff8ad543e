"""`corral key`: create, list, rotate and revoke API keys.

Trust: operator side. A new key is printed once and kept nowhere.
Input: the operator's command line.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, cast

import typer

from corral.cli.options import HomeOption, JsonOption, open_state
from corral.cli.terminal import print_json, print_note, print_table, screen
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.tenancy.keys import KeyRecord
    from corral.tenancy.permissions import Role

app = typer.Typer(no_args_is_help=True, help="API keys: create, list, rotate, revoke.")

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command("create")
def create(
    tenant: Annotated[
        str | None, typer.Argument(metavar="[TENANT]", help="Whose key.", show_default=False)
    ] = None,
    for_tenant: Annotated[
        str | None,
        typer.Option("--tenant", help="The same as TENANT; else `default`.", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Your label for the key.")] = "key",
    role: Annotated[
        str,
        typer.Option("--role", help="What it may do: operator, tenant-admin, user or auditor."),
    ] = "user",
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            metavar="PERMISSION",
            help="Only this permission of its role, such as completion:create. May be repeated.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Only this model of those that the tenant may use. May be repeated.",
            show_default=False,
        ),
    ] = None,
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

    Without --scope it may do all that its role may; without --model it may use all that its
    tenant may. Neither can give more than that.

    Example: corral key create acme --name ci --model demo --expires 90d
    """
    from corral.tenancy.keys import create_key
    from corral.tenancy.token import load_pepper

    if tenant and for_tenant and tenant != for_tenant:
        raise typer.BadParameter("names another tenant than TENANT", param_hint="--tenant")
    place = open_state(home)
    token, record = create_key(
        place.database,
        load_pepper(place.pepper),
        tenant=tenant or for_tenant or "default",
        name=name,
        role=cast("Role", role),
        expires_at=None if expires is None else datetime.now(UTC) + parse_span(expires),
        scopes=scopes or None,
        models=models or None,
    )
    _show_token(token, record, as_json=as_json)


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
    from corral.tenancy.keys import list_keys

    records = list_keys(open_state(home).database, tenant=tenant)
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


@app.command("rotate")
def rotate(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Id or prefix of the key.")],
    overlap: Annotated[
        int,
        typer.Option(
            "--overlap", metavar="SECONDS", help="How long the old secret stays good as well."
        ),
    ] = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a key a new secret and print it. Its name, role, scopes, models and expiry stay.

    Example: corral key rotate 7 --overlap 3600
    """
    from corral.tenancy.keys import rotate_key
    from corral.tenancy.token import load_pepper

    place = open_state(home)
    token, record = rotate_key(place.database, load_pepper(place.pepper), key, overlap_s=overlap)
    _show_token(token, record, as_json=as_json)


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Id or prefix of the key.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key for good, old secret and all; a running server denies it at once.

    Example: corral key revoke 7
    """
    from corral.tenancy.keys import revoke_key

    record = revoke_key(open_state(home).database, key)
    if as_json:
        print_json(key_document(record))
    else:
        print_note(f"key {record.id} ({record.prefix}) of {record.tenant} is revoked")


def _show_token(token: str, record: KeyRecord, *, as_json: bool) -> None:
    if as_json:
        print_json({"key": token, **key_document(record)})
    else:
        screen().print(token, soft_wrap=True)
        print_note("keep it now: it cannot be shown again")


def key_document(record: KeyRecord) -> dict[str, object]:
    """Return a key as it is printed with --json: everything but its secret."""
    return {
        "id": record.id,
        "prefix": record.prefix,
        "tenant": record.tenant,
        "name": record.name,
        "role": record.role,
        "scopes": None if record.scopes is None else list(record.scopes),
        "models": None if record.models is None else list(record.models),
        "status": record.status(),
        "created_at": _iso(record.created_at),
        "expires_at": _iso(record.expires_at),
        "revoked_at": _iso(record.revoked_at),
        "last_used_at": _iso(record.last_used_at),
        "old_secret_until": _iso(record.old_until),
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
