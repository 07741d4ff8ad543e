"""`corral oidc`: the public keys of OIDC providers, how old they are, and the numbers of users.

Trust: operator side. Input: the configuration; what providers answer comes through the fetch jail.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.failure import typed_failure
from corral.cli.options import HomeOption, JsonOption, effective_config, open_home
from corral.cli.terminal import print_error, print_json, print_note, print_table
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.core.config import Config
    from corral.core.home import Home

app = typer.Typer(no_args_is_help=True, help="OIDC providers: whose tokens are taken.")


@app.command("refresh")
def refresh(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Fetch the keys of every provider of the configuration; a running server uses them at once.

    `corral up` does it by itself, at the start and every refresh_s of a provider.

    Example: corral oidc refresh
    """
    place = open_home(home)
    failed = refresh_keys(place, effective_config(place))
    if as_json:
        print_json({name: error.code if error else None for name, error in failed.items()})
    for name, error in failed.items():
        if error is not None:
            raise error
        if not as_json:
            print_note(f"the keys of {name} are new")


@app.command("list")
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the providers of the configuration and when their keys were fetched.

    Example: corral oidc list
    """
    from corral.state.database import open_database
    from corral.tenancy.issuer_keys import list_issuer_keys
    from corral.tenancy.oidc_provider import parse_providers

    place = open_home(home)
    providers = parse_providers(effective_config(place).identity.oidc)
    held = {one.name: one for one in list_issuer_keys(open_database(place.database))}
    rows = [
        (one.name, one.issuer, held[one.name].fetched_at.isoformat() if one.name in held else None)
        for one in providers
    ]
    if as_json:
        print_json([{"name": n, "issuer": i, "fetched_at": at} for n, i, at in rows])
    else:
        print_table(
            ("NAME", "ISSUER", "KEYS OF"), ((n, i, at or "never") for n, i, at in rows),
            empty="no provider: see identity.oidc in docs/tenants.md",
        )  # fmt: skip


@app.command("user")
def user(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="Its name in corral.toml.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the name under which usage, limits and the audit log have a user of a provider.

    The user's `sub` is read from one line of stdin, and kept nowhere.

    Example: corral oidc user corp < sub.txt
    """
    from corral.tenancy.holder import holder_name
    from corral.tenancy.oidc_provider import parse_providers
    from corral.tenancy.oidc_user import SUBJECT_CHARACTERS, parse_subject, user_key, user_number
    from corral.tenancy.token import load_pepper

    place = open_home(home)
    providers = {one.name: one for one in parse_providers(effective_config(place).identity.oidc)}
    if provider not in providers:
        raise CorralError(
            "no_such_provider", "no provider of that name is configured", remedy="corral oidc list"
        )
    line = sys.stdin.buffer.readline(SUBJECT_CHARACTERS + 3).rstrip(b"\r\n")
    subject = parse_subject(line.decode("ascii", errors="surrogateescape"))
    if subject is None:
        raise CorralError(
            "bad_subject", f"a sub is one line of 1 to {SUBJECT_CHARACTERS} ASCII characters"
        )
    key = user_key(load_pepper(place.pepper))
    name = holder_name(user_number(key, providers[provider].issuer, subject))
    if as_json:
        print_json({"provider": provider, "user": name})
    else:
        sys.stdout.write(name + "\n")


def refresh_keys(home: Home, config: Config) -> dict[str, CorralError | None]:
    """Fetch every provider's keys; return by its name what was wrong with each.

    Keys that are there stay until new ones have come: a provider that is down for an hour locks
    nobody out, and one that is down for longer than `keys_max_age_s` everybody.

    Raises:
        CorralError: the configuration or this host is not fit to start a fetch jail.
    """
    from corral.admission.provider_keys import fetch_provider_keys
    from corral.cli.job_unsafe import job_launcher
    from corral.cli.policed import policed_settings
    from corral.state.database import open_database
    from corral.tenancy.issuer_keys import put_issuer_keys
    from corral.tenancy.oidc_provider import parse_providers

    outcome: dict[str, CorralError | None] = {}
    providers = parse_providers(config.identity.oidc)
    if not providers:
        return outcome
    engine = open_database(home.database)
    with job_launcher(home, policed_settings(home, {})) as launcher:
        for provider in providers:
            try:
                jwks = fetch_provider_keys(provider, home=home, config=config, launcher=launcher)
                put_issuer_keys(engine, provider, jwks)
                outcome[provider.name] = None
            except Exception as error:
                # Whatever one provider's answers bring about, the others' keys are fetched.
                outcome[provider.name] = typed_failure(error)
    return outcome


def refresh_round(home: Home, config: Config) -> float:
    """Fetch the keys of all providers; return in how many seconds to do it again.

    Without keys nobody gets in: what failed is tried again soon, until then those that are there
    count.
    """
    from corral.tenancy.oidc_provider import parse_providers

    wait_s = min(one.refresh_s for one in parse_providers(config.identity.oidc))
    failed = [error for error in refresh_keys(home, config).values() if error]
    with suppress(OSError):  # whoever read our words may have gone
        for one in failed:
            print_error(one, as_json=False)
    return min(60, wait_s) if failed else wait_s
