"""The tenants and keys of a fresh installation, made in one transaction.

Trust: operator side. Input: trusted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from corral.core.ids import TenantName
from corral.state.transaction import transaction
from corral.tenancy.grants import insert_grant
from corral.tenancy.keys import insert_key
from corral.tenancy.principal import EVERY_MODEL

DEFAULT_TENANT: Final = TenantName("default")
ADMIN_TENANT: Final = TenantName("admin")
_ADD: Final = "INSERT INTO tenants (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class FirstKeys:
    """The tokens of a fresh installation, shown once; kept out of `repr`.

    Attributes:
        api_key: of tenant `default`, which may use every admitted model.
        admin_key: of tenant `admin`, which may operate the server and use no model.
    """

    api_key: str = field(repr=False)
    admin_key: str = field(repr=False)


def make_first_keys(
    database: Path, pepper: bytes, deliver: Callable[[FirstKeys], None] | None
) -> FirstKeys:
    """Make both tenants and their keys.

    Args:
        database: has the newest schema and no tenant `default`.
        pepper: keys are stored as hashes under it.
        deliver: gets the keys before they are valid; if it raises, there are none.
    """
    now = int(time.time())
    with transaction(database) as connection:
        for tenant in (DEFAULT_TENANT, ADMIN_TENANT):
            connection.execute(_ADD, (tenant, now))
        insert_grant(connection, DEFAULT_TENANT, EVERY_MODEL)
        api_key, _ = insert_key(
            connection, pepper, tenant=DEFAULT_TENANT, name="first key", role="user"
        )
        admin_key, _ = insert_key(
            connection, pepper, tenant=ADMIN_TENANT, name="first admin key", role="operator"
        )
        first = FirstKeys(api_key=api_key, admin_key=admin_key)
        if deliver:
            deliver(first)
    return first
