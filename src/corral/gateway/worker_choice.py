"""Which worker a tenant's request for a model goes to: its own, within what the tenant may take.

Trust: gateway [net]. Input: an admitted model, and the quota of a tenant.
"""

from __future__ import annotations

from corral.admission.catalog import CatalogEntry
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.engine.places import Room
from corral.engine.router import Router
from corral.engine.sizing import engine_footprint, engine_start
from corral.engine.supervisor import Supervisor
from corral.tenancy.quota import Quota


def find_worker(
    router: Router, tenant: TenantName, entry: CatalogEntry, quota: Quota, config: Config
) -> Supervisor | None:
    """Return who has, or will start, the worker; None if it would take more than is allowed.

    Args:
        router: every worker of this gateway.
        tenant: whose worker.
        entry: the model.
        quota: of the tenant.
        config: what quota and the policy of the model leave of the server's.
    """
    try:
        start = engine_start(
            tenant=tenant,
            model=entry.name,
            digest=entry.digest,
            receipt=entry.receipt,
            config=config,
            derivation=entry.receipt.derivation,
        )
    except CorralError:
        return None
    room = Room(quota.max_workers or 0, quota.worker_memory_bytes or 0, quota.weight or 1)
    if room.memory_bytes and start.memory_bytes > room.memory_bytes:
        return None
    return router.worker(
        start, entry.receipt.template.text, identity=entry.identity, room=room,
        weigh=lambda: engine_footprint(entry.digest, entry.receipt, config),
    )  # fmt: skip
