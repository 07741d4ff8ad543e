"""Put an OIDC provider's public keys where the gateway reads them, and say how old they are.

Trust: operator side. Input: a key set of `admission.provider_keys`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, select
from sqlalchemy.dialects.sqlite import insert

from corral.state.database import reading, writing
from corral.state.tables import issuer_keys
from corral.tenancy.oidc_provider import Provider


@dataclass(frozen=True, slots=True)
class HeldKeys:
    """What is held of one provider; `fetched_at` is an aware datetime in UTC."""

    name: str
    issuer: str
    fetched_at: datetime


def put_issuer_keys(engine: Engine, provider: Provider, jwks: str) -> None:
    """Replace the keys of a provider; a running gateway uses them from its next request on.

    Raises:
        CorralError: code `database_unavailable`.
    """
    row = {"issuer": provider.issuer, "jwks": jwks, "fetched_at": int(time.time())}
    with writing(engine) as connection:
        connection.execute(
            insert(issuer_keys)
            .values(name=provider.name, **row)
            .on_conflict_do_update(index_elements=["name"], set_=row)
        )


def list_issuer_keys(engine: Engine) -> tuple[HeldKeys, ...]:
    """Return what is held, by name.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with reading(engine) as connection:
        return tuple(
            HeldKeys(row.name, row.issuer, datetime.fromtimestamp(row.fetched_at, UTC))
            for row in connection.execute(select(issuer_keys).order_by(issuer_keys.c.name))
        )
