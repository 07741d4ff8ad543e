"""What one scope has running, waiting and left of its limits.

Trust: gateway [net]. Input: scopes that authentication has proved, so that tenants bound them.

The burst of the request rate is ten seconds' worth, or what a tenant may have in the house at once
(running and queued) if that is more, and at most a minute's worth.
"""

from __future__ import annotations

from collections.abc import Callable

from corral.tenancy.account import Account, Moment, Spent
from corral.tenancy.gcra import RateLimit
from corral.tenancy.quota import Quota, Scope
from corral.tenancy.rate_headers import Left


class Share:
    """One scope.

    Attributes:
        rate: None where requests are not limited.
        account: None where tokens are not limited.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.quota = Quota()
        self.rate: RateLimit | None = None
        self.account: Account | None = None
        self.running = 0
        self.waiting = 0

    def apply(self, quota: Quota, now: Moment, found: Callable[[Scope], Spent]) -> None:
        """Go by these limits from now on.

        Args:
            quota: of this scope.
            now: the moment.
            found: reads what an earlier process wrote of its tokens; what it raises goes through.
        """
        if quota.tokens_per_minute or quota.tokens_per_day or quota.tokens_per_month:
            if self.account is None:
                self.account = Account(self.scope, quota, found(self.scope), now)
            else:
                self.account.apply(quota, now)
        else:
            self.account = None
        per_minute = quota.requests_per_minute
        if per_minute is None:
            self.rate = None
        else:
            house = (quota.concurrent_requests or 0) + (quota.queued_requests or 0)
            burst = max(1, min(per_minute, max(per_minute // 6, house)))
            if self.rate is None:
                self.rate = RateLimit(per_minute=per_minute, burst=burst)
            else:
                self.rate.change(per_minute=per_minute, burst=burst)
        self.quota = quota

    @property
    def is_full(self) -> bool:
        """No more may run at the same time."""
        most = self.quota.concurrent_requests
        return most is not None and self.running >= most

    @property
    def queue_is_full(self) -> bool:
        """No more may wait."""
        most = self.quota.queued_requests
        return most is not None and self.waiting >= most

    def requests_left(self, now: Moment) -> list[Left]:
        """Return what is left of the request rate; nothing if there is none."""
        rate = self.rate
        if rate is None:
            return []
        at = now.mono_ns
        return [Left(rate.remaining(at), rate.per_minute, rate.full_after_ns(at))]

    def tokens_left(self, now: Moment) -> list[Left]:
        """Return what is left of the token rate; nothing if there is none."""
        bucket = self.account.bucket if self.account else None
        if bucket is None:
            return []
        at = now.mono_ns
        left = bucket.per_minute - bucket.level(at)
        return [Left(left, bucket.per_minute, bucket.empty_after_ns(at))]
