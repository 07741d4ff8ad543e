"""`corral release`: end the quarantine of a tenant and a model.

Trust: operator side. Input: the operator's command line.
"""

from __future__ import annotations

from typing import Annotated

import typer

from corral.cli.options import HomeOption, JsonOption, TenantArgument, open_home
from corral.cli.terminal import print_json, print_note


def release(
    tenant: TenantArgument,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or digest of the model.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the quarantine of a model that crashed again and again for a tenant.

    `corral ps` lists quarantines; each ends by itself after engine.quarantine_s.

    Example: corral release acme smollm2-135m-instruct
    """
    from corral.state.database import open_database
    from corral.tenancy.quarantine import release_quarantine

    release_quarantine(open_database(open_home(home).database), tenant, model)
    if as_json:
        print_json({"tenant": tenant, "model": model, "quarantined": False})
    else:
        print_note(f"{tenant} may use {model} again")
