"""The rate limit against its definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.tenancy.gcra import RateLimit

_MINUTE_NS = 60 * 10**9


@pytest.mark.claim("LIM-01")
@given(
    per_minute=st.integers(1, 10_000),
    burst=st.integers(1, 50),
    gaps=st.lists(st.integers(0, 30 * 10**9), max_size=150),
)
def test_no_window_admits_more_than_rate_and_burst(
    per_minute: int, burst: int, gaps: list[int]
) -> None:
    limit = RateLimit(per_minute=per_minute, burst=burst)
    now, admitted = 0, []
    for gap in gaps:
        now += gap
        if limit.admit(now) == 0:
            admitted.append(now)
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            window_ns = admitted[last] - start
            # admitted <= rate * t + burst, in whole numbers
            assert (last - first + 1 - burst) * _MINUTE_NS <= per_minute * window_ns


@given(
    per_minute=st.integers(1, 10_000),
    burst=st.integers(1, 50),
    gaps=st.lists(st.integers(0, 30 * 10**9), max_size=150),
)
def test_it_admits_exactly_what_a_token_bucket_would(
    per_minute: int, burst: int, gaps: list[int]
) -> None:
    limit = RateLimit(per_minute=per_minute, burst=burst)
    interval = -(-_MINUTE_NS // per_minute)
    tokens_ns, now = burst * interval, 0  # the bucket, in nanoseconds of refill
    for gap in gaps:
        now += gap
        tokens_ns = min(burst * interval, tokens_ns + gap)
        wait_ns = limit.admit(now)
        assert (wait_ns == 0) == (tokens_ns >= interval)
        if wait_ns == 0:
            tokens_ns -= interval
        else:
            assert wait_ns == interval - tokens_ns


@given(per_minute=st.integers(1, 10_000), burst=st.integers(1, 20))
def test_the_wait_it_names_is_enough_and_not_too_long(per_minute: int, burst: int) -> None:
    limit = RateLimit(per_minute=per_minute, burst=burst)
    for _ in range(burst):
        assert limit.admit(0) == 0
    wait_ns = limit.admit(0)
    assert wait_ns > 0
    assert limit.admit(wait_ns - 1) == 1
    assert limit.admit(wait_ns) == 0
