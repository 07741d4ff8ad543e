"""Each tenant's limits as the gateway goes by them: `[limits]`, or what the operator set.

Trust: gateway [net]. Input: rows that `tenancy.quota_table` wrote. They are in memory and read
again when the database's revision changes, so that `corral quota set` acts at the next request.
What cannot be read raises, and the request is refused: an old limit may be too wide.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from corral.core.config import Limits
from corral.state.change import ChangeWatch
from corral.state.connection import open_reader
from corral.tenancy.quota import Quota, Scope, default_quota, overlaid

_READ = "SELECT tenant, key_id, model, name, value FROM quotas"


class Allotments:
    """Every limit of one installation. For one thread.

    Args:
        limits: what holds for tenants for whom nothing was set.
        database: where the operator's limits are; None for none.

    Attributes:
        version: another number whenever something may have changed.
    """

    def __init__(self, limits: Limits, database: Path | None = None) -> None:
        self.version = 0
        self._default = default_quota(limits)
        self._database = database
        self._watch = ChangeWatch(database) if database else None
        self._stale = True
        self._set: dict[Scope, dict[str, int]] = {}
        self._quotas: dict[Scope, Quota] = {}

    def refresh(self) -> None:
        """Read what has changed, if something has.

        Raises:
            sqlite3.Error, OSError, CorralError: it cannot be told or read.
        """
        if self._watch is None or self._database is None:
            return
        if not self._watch.changed() and not self._stale:
            return
        self._stale = True  # until it has been read: a change is reported once
        found: dict[Scope, dict[str, int]] = {}
        with closing(open_reader(self._database)) as connection:
            for tenant, key_id, model, name, value in connection.execute(_READ):
                found.setdefault(Scope(tenant, key_id, model), {})[name] = value
        self._stale = False
        if found != self._set:
            self._set, self._quotas = found, {}
            self.version += 1

    def of_tenant(self, tenant: str) -> Quota:
        """Return what a tenant may do in all."""
        scope = Scope(tenant)
        quota = self._quotas.get(scope)
        if quota is None:
            quota = self._quotas[scope] = overlaid(self._default, self._set.get(scope, {}))
        return quota

    def narrower(self, tenant: str, key_id: int, model: str) -> list[tuple[Scope, Quota]]:
        """Return the limits of a key and of a tenant's use of a model, if there are any."""
        found = []
        if self._set:
            for scope in (Scope(tenant, key_id=key_id), Scope(tenant, model=model)):
                if scope in self._set and (scope.key_id or scope.model):
                    quota = self._quotas.get(scope) or overlaid(Quota(), self._set[scope])
                    self._quotas[scope] = quota
                    found.append((scope, quota))
        return found

    def close(self) -> None:
        """Close the database."""
        if self._watch is not None:
            self._watch.close()
