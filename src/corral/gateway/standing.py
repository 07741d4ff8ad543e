"""Whether the keys of running requests still hold: a revoke ends what it would not have begun.

Trust: gateway [net]. Input: credentials that were live when their request began. Every 0.7 s the
database is asked once whether any key, grant or model changed; only if so is each running request
looked at, by the checks that it began with. A look wakes the gateway up on a core that an engine
computes on, so they are few; a single chunk costs nothing.

A key that is refused is out, within a second of the operator's command: what is meant is a revoke,
an expiry, a frozen or removed tenant, a grant taken back, or a model that the policy holds back or
takes from the tenant. A database that cannot be read refuses everybody, and so ends all requests,
but not for one failed look: twice in a row.

The workers of a frozen or removed tenant are stopped, busy or idle, a moment after its requests
have got their end.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from corral.admission.catalog import Catalog
from corral.core.errors import CorralError
from corral.gateway.errors import CATALOG_UNAVAILABLE, REVOKED, ApiError, model_not_found
from corral.tenancy.certificate import Credential
from corral.tenancy.keyring import Keyring
from corral.tenancy.principal import Principal

_LOOK_S: Final = 0.7
_AGAIN_S: Final = 0.2
"""Until the second look after a refusal that is not certain."""
_FAREWELL_S: Final = 0.1
"""For the last event of a stream, before its worker is stopped."""
_REFUSALS: Final = 2


class Permit:
    """One request's right to go on.

    Attributes:
        model: the model that it uses, once that is known.
        lost: done with the reason when the right is gone.
    """

    __slots__ = ("_credential", "_expires_at", "_held", "_refusals", "lost", "model")

    def __init__(self, credential: Credential) -> None:
        self.model: str | None = None
        self.lost: asyncio.Future[ApiError] = asyncio.get_running_loop().create_future()
        self._credential = credential
        self._refusals = 0
        self._held: tuple[int | None, str | None] = (None, None)
        self._expires_at: int | None = None

    @property
    def in_doubt(self) -> bool:
        """The last look refused."""
        return self._refusals > 0

    def holds(self, version: int | None) -> bool:
        """Return whether the last look is still true at this version of the keyring."""
        if version is None or (version, self.model) != self._held:
            return False
        return self._expires_at is None or time.time() < self._expires_at

    def look(self, keyring: Keyring, catalog: Catalog) -> None:
        """Ask the keyring and the catalog once more."""
        version = keyring.version()  # first: a change between the two is found by the next look
        principal = keyring.identify(self._credential)
        reason: ApiError | None = None
        if principal is None:
            reason = REVOKED
        elif self.model is not None:
            reason = _model_lost(principal, self.model, catalog)
        if principal is not None and reason is None:
            self._refusals = 0
            self._held, self._expires_at = (version, self.model), principal.expires_at
            return
        certain = version is not None and keyring.version() is not None
        if certain and reason is not CATALOG_UNAVAILABLE:
            self._refusals = _REFUSALS
        self._refusals += 1
        self._held = (None, None)
        if reason is not None and self._refusals >= _REFUSALS and not self.lost.done():
            self.lost.set_result(reason)


def _model_lost(principal: Principal, model: str, catalog: Catalog) -> ApiError | None:
    """Return why a tenant may not go on with a model; one that was removed is worked off."""
    try:
        entry = catalog.lookup(model)
        held = model in catalog.held()
    except (CorralError, sqlite3.Error, OSError):
        return CATALOG_UNAVAILABLE
    allowed = entry is None or entry.receipt.decision.allowance.admits_tenant(principal.tenant)
    if held or not allowed or not principal.may_use(model):
        return model_not_found(model)
    return None


class Workers(Protocol):
    """Who runs the engines (`engine.router`)."""

    def runs(self, tenants: Collection[str] | None = None) -> bool:
        """Return whether any worker lives, or any of these tenants."""

    def stop_tenants(self, tenants: Collection[str]) -> None:
        """Stop every worker of these tenants."""

    def share_cores(self) -> None:
        """Have the workers' weights follow how their tenants stand."""


class Standing:
    """Every running request of this gateway, and its workers. For one event loop."""

    def __init__(self, keyring: Keyring, catalog: Catalog, workers: Workers) -> None:
        self._keyring = keyring
        self._catalog = catalog
        self._workers = workers
        self._permits: set[Permit] = set()
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def follow(self, credential: Credential) -> Iterator[Permit]:
        """Look after one request as long as the block runs."""
        permit = Permit(credential)
        self._permits.add(permit)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)
        try:
            yield permit
        finally:
            self._permits.discard(permit)
            permit.lost.cancel()

    def _look(self) -> None:
        self._timer = None
        version = self._keyring.version()
        for permit in self._permits:
            if not permit.holds(version):
                permit.look(self._keyring, self._catalog)
        loop = asyncio.get_running_loop()
        barred = self._keyring.barred()
        if barred and self._workers.runs(barred):
            loop.call_later(_FAREWELL_S, self._workers.stop_tenants, barred)
        self._workers.share_cores()  # at this look: another timer would wake the gateway up again
        if self._permits or self._workers.runs():  # else the next request starts the timer again
            again = any(permit.in_doubt for permit in self._permits)
            self._timer = loop.call_later(_AGAIN_S if again else _LOOK_S, self._look)
