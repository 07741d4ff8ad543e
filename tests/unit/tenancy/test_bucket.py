"""The token rate against its definition, with refunds and across restarts and crashes."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from corral.tenancy.account import Account, Moment, Spent
from corral.tenancy.bucket import MINUTE_NS, TokenBucket
from corral.tenancy.quota import Quota, Scope


class Model:
    """Every admission with what it counts for: its reservation until it is settled."""

    def __init__(self) -> None:
        self.admitted: list[list[int]] = []

    def check(self, rate: int) -> None:
        """In any window at most rate * t + burst, in whole numbers."""
        for first, (start, _) in enumerate(self.admitted):
            total = 0
            for at, tokens in self.admitted[first:]:
                total += tokens
                assert (total - rate) * MINUTE_NS <= rate * (at - start)

    def level(self, rate: int, now: int) -> int:
        """What an exact bucket would hold, had each asked for what it now counts for."""
        level, at = 0, 0
        for when, tokens in self.admitted:
            level = max(0, level - (when - at) * rate) + tokens * MINUTE_NS
            at = when
        return max(0, level - (now - at) * rate)


class Refunds(RuleBasedStateMachine):
    """One process: the bucket is exact."""

    @initialize(rate=st.integers(1, 5000))
    def start(self, rate: int) -> None:
        self.rate, self.now = rate, 0
        self.bucket = TokenBucket(per_minute=rate, now_ns=0)
        self.model = Model()
        self.open: list[tuple[object, list[int]]] = []

    @rule(span_ns=st.integers(0, 30 * 10**9))
    def wait(self, span_ns: int) -> None:
        self.now += span_ns

    @rule(part=st.floats(0.01, 1.1))
    def ask(self, part: float) -> None:
        tokens = max(1, int(self.rate * part))
        exact = self.model.level(self.rate, self.now)
        wait_ns = self.bucket.wait_ns(self.now, tokens)
        if tokens > self.rate:
            assert wait_ns == -1
            return
        assert (wait_ns == 0) == (exact + tokens * MINUTE_NS <= self.rate * MINUTE_NS)
        if wait_ns:
            assert self.bucket.wait_ns(self.now + wait_ns, tokens) == 0
            assert self.bucket.wait_ns(self.now + wait_ns - 1, tokens) > 0
            return
        entry = [self.now, tokens]
        self.model.admitted.append(entry)
        self.open.append((self.bucket.admit(self.now, tokens), entry))

    @rule(which=st.integers(0, 100), part=st.floats(0, 1.2))
    def settle(self, which: int, part: float) -> None:
        if self.open:
            admission, entry = self.open.pop(which % len(self.open))
            used = int(entry[1] * part)
            self.bucket.settle(admission, used)  # type: ignore[arg-type]
            self.bucket.settle(admission, 0)  # type: ignore[arg-type] # a second time does nothing
            entry[1] = min(entry[1], used)

    @invariant()
    def never_over(self) -> None:
        self.model.check(self.rate)
        assert self.bucket.level(self.now) == -(-self.model.level(self.rate, self.now) // MINUTE_NS)


class Crashes(RuleBasedStateMachine):
    """Several processes after each other: never too lenient."""

    @initialize(rate=st.integers(100, 5000))
    def start(self, rate: int) -> None:
        self.rate, self.now, self.model = rate, 10**12, Model()
        self.quota = Quota(tokens_per_minute=rate, tokens_per_day=rate * 3)
        self.disk = Spent()
        self.account = Account(Scope("a"), self.quota, self.disk, self._moment())
        self.open: list[tuple[object, list[int]]] = []

    def _moment(self) -> Moment:
        return Moment(self.now, self.now / 1e9)

    @rule(span_ns=st.integers(0, 60 * 10**9))
    def wait(self, span_ns: int) -> None:
        self.now += span_ns

    @rule(part=st.floats(0.01, 1))
    def ask(self, part: float) -> None:
        tokens, now = max(1, int(self.rate * part)), self._moment()
        if self.account.shortage(now, tokens) is not None:
            return
        charge = self.account.admit(now, tokens)
        if not self.account.covered(now):
            self.disk = self.account.spent(now, ahead=True)
            self.account.written(self.disk, now)
            assert self.account.covered(now)
        entry = [self.now, tokens]
        self.model.admitted.append(entry)
        self.open.append((charge, entry))

    @rule(which=st.integers(0, 100), part=st.floats(0, 1))
    def settle(self, which: int, part: float) -> None:
        if self.open:
            charge, entry = self.open.pop(which % len(self.open))
            entry[1] = int(entry[1] * part)
            self.account.settle(charge, entry[1])  # type: ignore[arg-type]

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        if clean:
            self.disk = self.account.spent(self._moment(), ahead=False)
        self.account = Account(Scope("a"), self.quota, self.disk, self._moment())
        self.open.clear()  # nobody settles what ran

    @invariant()
    def never_over(self) -> None:
        self.model.check(self.rate)
        day = 86_400 * 10**9
        for period in {at // day for at, _ in self.model.admitted}:
            used = sum(n for at, n in self.model.admitted if at // day == period)
            assert used <= self.rate * 3


@pytest.mark.claim("LIM-04")
def test_refunds_never_let_a_window_overshoot() -> None:
    run(Refunds)


@pytest.mark.claim("LIM-04")
def test_neither_do_restarts_nor_crashes() -> None:
    run(Crashes)


def run(machine: type[RuleBasedStateMachine]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )


@pytest.mark.claim("LIM-04")
def test_the_plain_way_of_giving_back_would_overshoot() -> None:
    """The attack that the bucket's memory is for: use the limit, let it leak out, cancel."""
    rate = 600
    bucket = TokenBucket(per_minute=rate, now_ns=0)
    first = bucket.admit(0, rate)
    assert bucket.wait_ns(MINUTE_NS, rate) == 0  # all of the first has leaked out
    bucket.admit(MINUTE_NS, rate)
    bucket.settle(first, 0)
    assert bucket.level(MINUTE_NS) == rate  # `level - refund` would be 0, and let 600 more in
    assert bucket.wait_ns(MINUTE_NS, 1) > 0
    # What is still in it comes back.
    second = bucket.admit(MINUTE_NS * 2, rate)
    bucket.settle(second, 10)
    assert bucket.level(MINUTE_NS * 2) == 10


def test_another_rate_keeps_what_is_in_it() -> None:
    bucket = TokenBucket(per_minute=600, now_ns=0)
    admission = bucket.admit(0, 600)
    bucket.change_rate(0, 60)
    bucket.settle(admission, 0)
    assert bucket.level(0) == 600
    assert bucket.level(MINUTE_NS) == 540
    assert bucket.empty_after_ns(0) == 10 * MINUTE_NS


def test_very_old_reservations_are_not_given_back() -> None:
    bucket = TokenBucket(per_minute=1 << 20, now_ns=0)
    first = bucket.admit(0, 1)
    for _ in range(5000):
        bucket.admit(0, 1)
    bucket.settle(first, 0)
    assert bucket.level(0) == 5001
