"""Options and arguments that several verbs share, and what they mean.

Trust: operator side. Input: the operator's command line, trusted but checked.
"""

from __future__ import annotations

from typing import Annotated

import typer

from corral.core.config import Config, load_config, override_config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.state.schema import ensure_current

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="State folder; else $CORRAL_HOME, else the user's default.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
TierOption = Annotated[
    str | None,
    typer.Option("--tier", help="Sandbox tier: namespaces, gvisor or vm.", show_default=False),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime", help="OCI runtime by name; auto probes the host.", show_default=False
    ),
]
DegradedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-degraded",
        metavar="FEATURE",
        help="Go on without this wall where the host lacks it: cgroup, landlock, mdwe; at the "
        "isolation level strict also ksm, speculation, swap, cores, smt. gpu-sharing: tenants may "
        "share a device. engine-unknown, engine-vulnerable: give models to an engine that is of no "
        "known build, or has a flaw that nothing stops. detector: prompts are not looked at for "
        "injection by a classifier. May be repeated.",
        show_default=False,
    ),
]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Name of an admitted model.")]
TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="Name of a tenant.")]


def sandbox_settings(
    tier: str | None, runtime: str | None, allow_degraded: list[str] | None
) -> dict[str, object]:
    """Return the dotted settings that the sandbox options change."""
    settings: dict[str, object] = {}
    if tier is not None:
        settings["sandbox.tier"] = tier
    if runtime is not None:
        settings["sandbox.runtime"] = runtime
    if allow_degraded:
        settings["sandbox.allow_degraded"] = tuple(allow_degraded)
    return settings


def effective_config(home: Home, settings: dict[str, object] | None = None) -> Config:
    """Return the configuration file's tree with the command line's settings over it.

    Raises:
        ConfigError: the file or an option is not usable.
    """
    return override_config(load_config(home.config_file), settings or {})


def open_home(chosen: str | None) -> Home:
    """Return the state folder of an installation that exists.

    Raises:
        CorralError: code `not_initialised`.
    """
    home = Home.locate(chosen)
    if not home.database.exists():
        raise CorralError(
            "not_initialised",
            "there is no corral installation in this state folder",
            remedy="make one with: corral up (or name another folder with --home)",
        )
    return home


def open_state(chosen: str | None) -> Home:
    """Return the state folder of an installation whose database has the newest schema.

    Raises:
        CorralError: codes `not_initialised`, `database_unsafe`, `database_unavailable`,
            `database_newer`.
    """
    home = open_home(chosen)
    ensure_current(home.database)
    return home
