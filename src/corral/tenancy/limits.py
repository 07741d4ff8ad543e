"""Per-tenant limits: rates, token budgets, requests at the same time, and a bounded queue.

Trust: gateway [net]. One tenant's load never delays or refuses another's here.
Input: tenants, keys and models that stages 2 and 3 have proved, so the tables here are bounded.

    acquire     within every rate, budget and queue of tenant, key and model, or a refusal
                wait for a place, first come first served; who is blocked by a limit of his own
                key or model holds up nobody else
                the tokens are on the disk as used (`tenancy.spent`)
    settle      what was not used of the reservation is given back
    release     the place is given back
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from corral.core.config import Limits
from corral.core.ids import TenantName
from corral.tenancy.account import Account, Moment, Shortage
from corral.tenancy.allotments import Allotments
from corral.tenancy.fair_queue import Turn
from corral.tenancy.quota import Quota, Scope, scope_kind
from corral.tenancy.rate_headers import Headers, rate_headers
from corral.tenancy.share import Share
from corral.tenancy.spent import SpentJournal

_SECOND_NS: Final = 1_000_000_000
_QUEUE_RETRY_S: Final = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """The request is over a limit.

    Attributes:
        code: `rate_limit_exceeded`, `token_rate_exceeded`, `token_budget_exceeded`,
            `request_over_quota` or `queue_full`.
        message: for the caller.
        retry_after_s: whole seconds, at least 1, fit for `Retry-After`.
        headers: what is left of the caller's limits.
        retry: asking again can help.
        waiting: requests of the same tenant that wait already, where the queue is full.
    """

    code: str
    message: str
    retry_after_s: int
    headers: Headers = ()
    retry: bool = True
    waiting: int = 0


class _House:
    """What one tenant has waiting, and its shares by scope."""

    __slots__ = ("shares", "version", "waiting")

    def __init__(self) -> None:
        self.shares: dict[Scope, Share] = {}
        self.version = -1
        self.waiting: deque[_Waiter] = deque()

    def enter(self, shares: list[Share]) -> bool:
        """Take a place in each share, if each has one."""
        if any(share.is_full for share in shares):
            return False
        for share in shares:
            share.running += 1
        return True

    def leave(self, shares: list[Share]) -> None:
        """Free the places, and let in who has waited longest of those who fit."""
        for share in shares:
            share.running -= 1
        self.let_in()

    def let_in(self) -> None:
        """Let in who has waited longest, and who else fits."""
        for waiter in list(self.waiting):
            if not waiter.place.done() and self.enter(waiter.shares):
                self.unqueue(waiter)
                waiter.place.set_result(None)

    def queue(self, waiter: _Waiter) -> None:
        """Put one into the queue."""
        self.waiting.append(waiter)
        for share in waiter.shares:
            share.waiting += 1

    def unqueue(self, waiter: _Waiter) -> None:
        """Take one out of the queue."""
        self.waiting.remove(waiter)
        for share in waiter.shares:
            share.waiting -= 1


@dataclass(slots=True, eq=False)
class _Waiter:
    shares: list[Share]
    place: asyncio.Future[None]


class Lease:
    """The right to run one request; give it back with `release` or by `with`.

    Attributes:
        headers: what is left of the caller's limits.
        turn: the request's place among those of all tenants, once it has one.
    """

    __slots__ = ("_charges", "_house", "_shares", "headers", "turn")

    def __init__(self, house: _House, shares: list[Share], now: Moment, tokens: int) -> None:
        self._house: _House | None = house
        self._shares = shares
        accounts = [share.account for share in shares if share.account is not None]
        self._charges = [(one, one.admit(now, tokens)) for one in accounts]
        self.headers = _headers(shares, now)
        self.turn: Turn | None = None

    def settle(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Give back what was not used of the reservation; a second time does nothing."""
        charges, self._charges = self._charges, []
        for account, charge in charges:
            account.settle(charge, prompt_tokens + answer_tokens)
        if self.turn is not None:
            self.turn.settle(prompt_tokens, answer_tokens)

    def release(self) -> None:
        """Give the places back; a second time does nothing."""
        if self.turn is not None:
            self.turn.leave()
        house, self._house = self._house, None
        if house is not None:
            house.leave(self._shares)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def read_clocks() -> Moment:
    """Return now."""
    return Moment(time.monotonic_ns(), time.time())


class TenantLimits:
    """Every tenant's limits. For one event loop; not for several threads.

    Args:
        config: what holds where the operator set nothing.
        database: where the operator's limits and the used tokens are; None for neither.
        clock: tells the moment.
    """

    def __init__(
        self,
        config: Limits,
        database: Path | None = None,
        *,
        clock: Callable[[], Moment] = read_clocks,
    ) -> None:
        self._clock = clock
        self._allotments = Allotments(config, database)
        self._journal = SpentJournal(database, clock)
        self._houses: dict[str, _House] = {}

    def quota(self, tenant: TenantName, model: str) -> Quota:
        """Return the limits of a tenant, with the context that it has for this model.

        Raises:
            sqlite3.Error, OSError, CorralError: they cannot be read.
        """
        self._allotments.refresh()
        quota = self._allotments.of_tenant(tenant)
        contexts = [quota.context_tokens] + [
            one.context_tokens for scope, one in self._allotments.narrower(tenant, 0, model)
        ]
        least = min((one for one in contexts if one), default=None)
        if least == quota.context_tokens:
            return quota
        return replace(quota, context_tokens=least)

    async def acquire(
        self, tenant: TenantName, *, key_id: int = 0, model: str = "", tokens: int = 0
    ) -> Lease | Refusal:
        """Return a lease, after waiting in the tenant's queue if need be, or why there is none.

        A refused request is not counted against the rate. Cancelling the caller gives its place
        in the queue, or the place it was just handed, back, and all of its tokens.

        Args:
            tenant: who asks.
            key_id: by which key; 0 for none.
            model: for which model.
            tokens: what it may use at most.

        Raises:
            sqlite3.Error, OSError, CorralError: the limits cannot be read, or the disk does not
                take what would be used.
        """
        now = self._clock()
        house, shares = self._shares(tenant, key_id, model, now)
        full = [share for share in shares if share.is_full]
        left = _headers(shares, now)
        if full and any(share.queue_is_full for share in shares):
            return Refusal(
                "queue_full", "too many requests of yours are waiting already", _QUEUE_RETRY_S,
                left, waiting=len(house.waiting),
            )  # fmt: skip
        refusal = _over_rate(shares, now, left) or _over_tokens(shares, now, left, tokens)
        if refusal is not None:
            return refusal
        for share in shares:
            if share.rate is not None:
                share.rate.admit(now.mono_ns)
        lease = Lease(house, shares, now, tokens)
        try:
            if not house.enter(shares):
                await _wait(house, shares)
        except BaseException:
            lease.settle(0, 0)
            raise
        accounts = [share.account for share in shares if share.account is not None]
        try:
            if accounts:
                await self._journal.cover(accounts)
        except BaseException:
            lease.settle(0, 0)
            lease.release()
            raise
        return lease

    def close(self) -> None:
        """Write what was used."""
        self._journal.close(self._accounts())
        self._allotments.close()

    def _accounts(self) -> list[Account]:
        shares = (share for house in self._houses.values() for share in house.shares.values())
        return [share.account for share in shares if share.account is not None]

    def _shares(
        self, tenant: TenantName, key_id: int, model: str, now: Moment
    ) -> tuple[_House, list[Share]]:
        self._allotments.refresh()
        house = self._houses.get(tenant)
        if house is None:
            house = self._houses[tenant] = _House()
        scopes = [(Scope(tenant), self._allotments.of_tenant(tenant))]
        scopes += self._allotments.narrower(tenant, key_id, model)
        stale = house.version != self._allotments.version
        shares = []
        for scope, quota in scopes:
            share = house.shares.get(scope)
            if share is None or share.quota is not quota:
                share = share or Share(scope)
                share.apply(quota, now, self._journal.found)
                house.shares[scope] = share
            shares.append(share)
        if stale:
            house.version = self._allotments.version
            house.let_in()
        return house, shares


async def _wait(house: _House, shares: list[Share]) -> None:
    waiter = _Waiter(shares, asyncio.get_running_loop().create_future())
    house.queue(waiter)
    try:
        await waiter.place
    except asyncio.CancelledError:
        if waiter.place.cancelled():
            house.unqueue(waiter)
        else:
            house.leave(shares)
        raise


def _headers(shares: list[Share], now: Moment) -> Headers:
    return rate_headers(
        (left for share in shares for left in share.requests_left(now)),
        (left for share in shares for left in share.tokens_left(now)),
    )


def _over_rate(shares: list[Share], now: Moment, left: Headers) -> Refusal | None:
    for share in shares:
        wait_ns = share.rate.wait_ns(now.mono_ns) if share.rate else 0
        if share.rate and wait_ns:
            return Refusal(
                "rate_limit_exceeded",
                f"over {share.rate.per_minute} requests per minute{_of(share)}",
                max(1, -(-wait_ns // _SECOND_NS)),
                left,
            )
    return None


def _over_tokens(shares: list[Share], now: Moment, left: Headers, tokens: int) -> Refusal | None:
    for share in shares:
        short = share.account.shortage(now, tokens) if share.account else None
        if short is not None:
            return _shortage(short, share, left, tokens)
    return None


def _shortage(short: Shortage, share: Share, left: Headers, tokens: int) -> Refusal:
    wait_s = max(1, -int(-short.wait_s // 1))
    text = f"{short.limit} {short.what}{_of(share)}"
    if short.wait_s < 0:
        return Refusal(
            "request_over_quota",
            f"a request may use {tokens} tokens, which is more than {text}",
            wait_s, left, retry=False,
        )  # fmt: skip
    if short.what == "tokens per minute":
        return Refusal("token_rate_exceeded", f"over {text}", wait_s, left)
    return Refusal("token_budget_exceeded", f"over {text}", wait_s, left)


def _of(share: Share) -> str:
    kind = scope_kind(share.scope)
    return "" if kind == "tenant" else f" of this {kind}"
