"""Shares: a tenant offers a model that it was granted to another, who looks at it and accepts.

Trust: gateway [net] and operator side. Input: names and numbers that a tenant sent, checked here.

A share gives the right to use a model and nothing else: the receiver's requests run in the
receiver's own workers, under its own limits and its own name (`engine.router` keys workers by the
tenant of the credential). It holds only as long as all of this is true, which `tenancy.keyring`
asks of the database anew at every change:

    the receiver accepted this very artifact (its identity: the file's digest, and more where the
        model is derived), and the name still stands for it
    the owner was granted the model by the operator, and is not frozen
    neither of the two ended the share

What was received by a share cannot be shared on: the owner needs a grant of its own.

An offer to a tenant that does not exist looks like one that waits: offers tell nobody which tenants
there are. An id of somebody else's share is like one that never was.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from corral.core.errors import CorralError
from corral.core.ids import TenantName, parse_model_name, parse_tenant_name
from corral.state.transaction import snapshot, transaction

OPEN_SHARES: Final = 200
"""That one tenant may have offered at the same time; as many that have ended are kept. A bound on
what it can fill the table with, which each change makes everybody read."""

ShareStatus = Literal["offered", "accepted", "ended"]
Side = Literal["owner", "receiver"]

RIGHTS: Final = """
SELECT tenant, model FROM grants
UNION
SELECT s.receiver, s.model FROM shares AS s
JOIN models AS m ON m.name = s.model AND m.identity = s.digest
JOIN tenants AS o ON o.name = s.owner AND o.frozen_at IS NULL
WHERE s.accepted_at IS NOT NULL AND s.ended_at IS NULL AND EXISTS (
    SELECT 1 FROM grants AS g WHERE g.tenant = s.owner AND g.model IN (s.model, '*')
)
"""
"""Which tenant may use which model, by grants and by shares."""

_GRANTED: Final = "SELECT 1 FROM grants WHERE tenant = ? AND model IN (?, '*')"
_IDENTITY: Final = "SELECT identity FROM models WHERE name = ?"
_OPEN: Final = "SELECT count(*) FROM shares WHERE owner = ? AND ended_at IS NULL"
_SAME: Final = """
SELECT * FROM shares
WHERE owner = ? AND receiver = ? AND model = ? AND digest = ? AND ended_at IS NULL
"""
_OFFER: Final = """
INSERT INTO shares (owner, receiver, model, digest, offered_at) VALUES (?, ?, ?, ?, ?) RETURNING *
"""
_ACCEPT: Final = """
UPDATE shares SET accepted_at = coalesce(accepted_at, ?)
WHERE id = ? AND receiver = ? AND ended_at IS NULL AND digest = ?
AND digest = (SELECT identity FROM models WHERE name = shares.model) RETURNING *
"""
_OFFERED: Final = "SELECT 1 FROM shares WHERE id = ? AND receiver = ? AND ended_at IS NULL"
_FORGET: Final = """
DELETE FROM shares WHERE owner = ?1 AND ended_at IS NOT NULL AND id NOT IN (
    SELECT id FROM shares WHERE owner = ?1 AND ended_at IS NOT NULL ORDER BY id DESC LIMIT ?2
)
"""
_END: Final = """
UPDATE shares SET ended_at = ?
WHERE id = ? AND ended_at IS NULL AND (owner = ? OR receiver = ?) RETURNING *
"""
_LIST: Final = "SELECT * FROM shares WHERE ended_at IS NULL ORDER BY id"


@dataclass(frozen=True, slots=True)
class Share:
    """One offer and what became of it.

    Attributes:
        digest: identity of the artifact that was offered; another one under the same name is
            not covered.
        offered_at: Unix seconds, as are `accepted_at` and `ended_at`; None: not yet.
    """

    id: int
    owner: TenantName
    receiver: TenantName
    model: str
    digest: str
    offered_at: int
    accepted_at: int | None
    ended_at: int | None

    @property
    def status(self) -> ShareStatus:
        """Return where the share stands."""
        if self.ended_at is not None:
            return "ended"
        return "offered" if self.accepted_at is None else "accepted"


def offer_share(database: Path, *, owner: TenantName, receiver: str, model: str) -> Share:
    """Offer a model as it is now; the same offer again gives the one that is open.

    Args:
        database: the installation's.
        owner: whose credential this is.
        receiver: name of a tenant; whether there is one is not told.
        model: that the operator granted to the owner.

    Raises:
        CorralError: codes `model_not_found` (also for one that was not granted), `bad_tenant_name`,
            `share_with_oneself`, `too_many_shares`, `database_unavailable`.
    """
    to = parse_tenant_name(receiver)
    if to == owner:
        raise CorralError("share_with_oneself", "a tenant cannot share a model with itself")
    try:
        name = parse_model_name(model)
    except CorralError:
        raise _no_model() from None
    with transaction(database) as connection:
        granted = connection.execute(_GRANTED, (owner, name)).fetchone()
        admitted = connection.execute(_IDENTITY, (name,)).fetchone()
        if granted is None or admitted is None:
            raise _no_model()
        row = connection.execute(_SAME, (owner, to, name, admitted[0])).fetchone()
        if row is None:
            (count,) = connection.execute(_OPEN, (owner,)).fetchone()
            if count >= OPEN_SHARES:
                raise CorralError(
                    "too_many_shares", f"a tenant may have {OPEN_SHARES} shares at the same time"
                )
            connection.execute(_FORGET, (owner, OPEN_SHARES))
            values = (owner, to, name, admitted[0], int(time.time()))
            row = connection.execute(_OFFER, values).fetchone()
        return _share(row)


def accept_share(database: Path, share_id: int, *, receiver: TenantName, digest: str) -> Share:
    """Accept an offer of the artifact that the receiver has looked at.

    Args:
        database: the installation's.
        share_id: of an offer to this tenant.
        receiver: whose credential this is.
        digest: identity of the artifact whose findings the receiver saw, in hex.

    Raises:
        CorralError: codes `share_not_found`, `share_changed` (the name stands for another artifact
            by now, or never stood for this one), `database_unavailable`.
    """
    with transaction(database) as connection:
        moment = int(time.time())
        row = connection.execute(_ACCEPT, (moment, share_id, receiver, digest)).fetchone()
        if row is None:
            if connection.execute(_OFFERED, (share_id, receiver)).fetchone() is None:
                raise _no_share()
            raise CorralError(
                "share_changed", "the model is not the artifact that was looked at",
                remedy="look at it again, and have it offered again",
            )  # fmt: skip
        return _share(row)


def end_share(database: Path, share_id: int, *, tenant: TenantName) -> Share:
    """Take a share back, decline it or leave it; running requests end within a second.

    Args:
        database: the installation's.
        share_id: of a share from or to this tenant.
        tenant: whose credential this is.

    Raises:
        CorralError: codes `share_not_found`, `database_unavailable`.
    """
    with transaction(database) as connection:
        row = connection.execute(_END, (int(time.time()), share_id, tenant, tenant)).fetchone()
        if row is None:
            raise _no_share()
        return _share(row)


def list_shares(
    database: Path, *, tenant: str | None = None, side: Side | None = None
) -> tuple[Share, ...]:
    """Return shares that have not ended, oldest first.

    Args:
        database: the installation's.
        tenant: only those from or to this tenant.
        side: only those in which it is the owner, or the receiver.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with snapshot(database) as connection:
        found = tuple(map(_share, connection.execute(_LIST)))
    if tenant is None:
        return found
    sides = (side,) if side else ("owner", "receiver")
    return tuple(one for one in found if tenant in {getattr(one, name) for name in sides})


def _share(row: sqlite3.Row) -> Share:
    share_id, owner, receiver, model, digest, offered_at, accepted_at, ended_at = row
    return Share(
        id=share_id, owner=TenantName(owner), receiver=TenantName(receiver), model=model,
        digest=digest, offered_at=offered_at, accepted_at=accepted_at, ended_at=ended_at,
    )  # fmt: skip


def _no_model() -> CorralError:
    return CorralError("model_not_found", "there is no such model, or it was not granted to you")


def _no_share() -> CorralError:
    return CorralError("share_not_found", "there is no such share")
