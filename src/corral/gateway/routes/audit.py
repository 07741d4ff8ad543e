"""GET /admin/v1/audit: the newest records of requests, for operators and auditors.

Trust: gateway [net]. Input: hostile requests; files that this very process writes. So what is shown
here is for watching: whether the log is whole is told by `corral audit verify`, on the server's
machine, which trusts nothing of the gateway and knows the operator's own chain besides.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from corral.audit.export import plain
from corral.audit.selection import Wanted, newest_records
from corral.gateway.call import Call

_MOST: Final = 1000


class AuditQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query: so many of the newest records, older than the one numbered `before`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=_MOST)] = 50
    before: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0
    tenant: str = ""
    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class AuditPage(msgspec.Struct, frozen=True):
    """Records, oldest first, as `corral audit export` has them.

    `next_before`: ask `before` it for earlier ones; `null`: there are none. One request looks at
    4 MiB of the log, so that a page may have fewer records than were asked for, and none.
    """

    data: list[dict[str, Any]]
    next_before: int | None
    kind: str = msgspec.field(default="list", name="object")


def audit_page(call: Call[AuditQuery]) -> AuditPage:
    """GET /admin/v1/audit."""
    asked = call.asked
    since = asked.since
    wanted = Wanted(since_ms=int(since.timestamp() * 1000) if since else 0, tenant=asked.tenant)
    folder = call.services.database.parent
    page = newest_records(folder, "gateway", wanted, limit=asked.limit, before=asked.before)
    return AuditPage([plain(one) for one in page.records], page.before or None)
