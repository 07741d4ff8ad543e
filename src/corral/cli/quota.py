"""`corral quota`: what tenants, keys and tenants' uses of models may take.

Trust: operator side. Input: the operator's command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.options import HomeOption, JsonOption, effective_config, open_state
from corral.cli.terminal import print_json, print_note, print_table
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.tenancy.quota import Scope
    from corral.tenancy.quota_table import SetQuota

app = typer.Typer(no_args_is_help=True, help="Limits of tenants, keys and models.")

Tenant = Annotated[
    str, typer.Option("--tenant", metavar="NAME", help="Of this tenant.", show_default=False)
]
Key = Annotated[
    str,
    typer.Option(
        "--key",
        metavar="KEY",
        help="Of this key: id or prefix; cert-3, oidc-….",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model", metavar="MODEL", help="Of the tenant's use of this model.", show_default=False
    ),
]


@app.command("show")
def show(tenant: Tenant = "", home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show every limit that holds, and where it comes from.

    Example: corral quota show --tenant acme
    """
    from corral.tenancy.quota_table import list_quotas

    place = open_state(home)
    found = list_quotas(place.database, effective_config(place).limits, tenant=tenant)
    if as_json:
        print_json([_document(one) for one in found])
        return
    print_table(
        ("TENANT", "KEY", "MODEL", "LIMIT", ">VALUE", "FROM"),
        (
            (
                *(word or "-" for word in _whose(one.scope).values()), one.name,
                one.value if one.value or one.name == "queued_requests" else "none",
                "[limits]" if one.is_default else "set",
            )
            for one in found
        ),
        empty="no such tenant",
    )  # fmt: skip


@app.command("set")
def set_(
    limits: Annotated[
        list[str], typer.Argument(metavar="LIMIT=VALUE...", help="Limits and their numbers.")
    ],
    tenant: Tenant = "",
    key: Key = "",
    model: Model = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set limits; a running server goes by them from the next request on.

    Limits: requests_per_minute, tokens_per_minute, concurrent_requests, queued_requests,
    tokens_per_day, tokens_per_month of a tenant, key or model; context_tokens of a tenant or
    model; max_workers, worker_memory_bytes, weight of a tenant. 0 is no limit where it may be 0.

    Example: corral quota set --tenant acme tokens_per_minute=20000 weight=2
    """
    from corral.tenancy.quota_table import change_quotas, find_scope

    values = dict(_parse(one) for one in limits)
    place = open_state(home)
    scope = find_scope(place.database, tenant=tenant, key=key, model=model)
    change_quotas(place.database, scope, {**values})
    if as_json:
        print_json({**_whose(scope), "set": values})
        return
    for name, value in values.items():
        print_note(f"{name} is {value} from the next request on")
    context = effective_config(place).engine.context_tokens
    for name in ("tokens_per_minute", "tokens_per_day", "tokens_per_month"):
        if 0 < values.get(name, 0) < context:
            print_note(
                f"a request reserves its whole context, up to {context} tokens: models with more "
                f"than {values[name]} are refused until context_tokens is lower"
            )


@app.command("clear")
def clear(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LIMIT...]", help="Which; else all.", show_default=False),
    ] = None,
    tenant: Tenant = "",
    key: Key = "",
    model: Model = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take limits back; what the configuration says holds again.

    Example: corral quota clear --tenant acme tokens_per_minute
    """
    from corral.tenancy.quota_table import change_quotas, clear_quotas, find_scope

    database = open_state(home).database
    scope = find_scope(database, tenant=tenant, key=key, model=model)
    if names:
        count = change_quotas(database, scope, dict.fromkeys(names))
    else:
        count = clear_quotas(database, scope)
    if as_json:
        print_json({**_whose(scope), "cleared": count})
    else:
        print_note(f"cleared: {count}")


def _parse(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if not value.isdecimal() or not value.isascii():
        raise CorralError("quota_value", "say LIMIT=VALUE, VALUE a number without a unit")
    return name, int(value)


def _whose(scope: Scope) -> dict[str, str | None]:
    """Return a scope as the admin API shows it; `key` is what `--key` takes."""
    from corral.tenancy.holder import holder_name

    key = holder_name(scope.key_id) if scope.key_id else None
    return {"tenant": scope.tenant, "key": key, "model": scope.model or None}


def _document(one: SetQuota) -> dict[str, object]:
    return {
        **_whose(one.scope),
        "limit": one.name,
        "value": one.value,
        "from": "limits" if one.is_default else "set",
    }
