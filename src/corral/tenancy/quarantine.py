"""The operator's view of pairs of tenant and model that crashed again and again.

Trust: operator side. Input: the operator's names; rows that the gateway wrote, shown as they are
but never used as paths or SQL.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, delete, or_, select

from corral.core.errors import CorralError
from corral.state.database import reading, writing
from corral.state.tables import quarantines


@dataclass(frozen=True, slots=True)
class Quarantine:
    """One tenant may not use one model for now.

    Attributes:
        model: the name under which it was asked for.
        crashes: how often its worker ended within `engine.crash_window_s`.
        until: when it ends by itself.
    """

    tenant: str
    model: str
    digest: str
    crashes: int
    since: datetime
    until: datetime


def list_quarantines(engine: Engine) -> tuple[Quarantine, ...]:
    """Return every pair that is held now, by tenant and model.

    Raises:
        CorralError: code `database_unavailable`.
    """
    query = (
        select(quarantines)
        .where(quarantines.c.until > int(time.time()))
        .order_by(quarantines.c.tenant, quarantines.c.model)
    )
    with reading(engine) as connection:
        return tuple(
            Quarantine(
                tenant=row.tenant, model=row.model, digest=row.digest, crashes=row.crashes,
                since=datetime.fromtimestamp(row.since, UTC),
                until=datetime.fromtimestamp(row.until, UTC),
            )
            for row in connection.execute(query)
        )  # fmt: skip


def release_quarantine(engine: Engine, tenant: str, model_or_digest: str) -> None:
    """Let a tenant use a model again; a running server knows at once.

    Raises:
        CorralError: codes `not_quarantined`, `database_unavailable`.
    """
    with writing(engine) as connection:
        gone = connection.execute(
            delete(quarantines).where(
                quarantines.c.tenant == tenant,
                or_(
                    quarantines.c.model == model_or_digest,
                    quarantines.c.digest == model_or_digest,
                ),
            )
        )
        if gone.rowcount == 0:
            raise CorralError(
                "not_quarantined",
                "this tenant and model are not in quarantine",
                remedy="see which are: corral ps",
            )
