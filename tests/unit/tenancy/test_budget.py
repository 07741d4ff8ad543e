"""Budgets of days and months."""

from datetime import UTC, datetime

import pytest

from corral.tenancy.budget import Budget, day_of, month_ends_s, month_of


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_periods_are_of_the_calendar_in_utc() -> None:
    now = at("2026-12-31T23:59:59")
    assert (day_of(now), month_of(now)) == (20261231, 202612)
    assert month_ends_s(now) == 1
    assert month_ends_s(at("2028-02-28T00:00:00")) == 2 * 86400


@pytest.mark.claim("LIM-05")
def test_a_budget_ends_with_its_period() -> None:
    budget = Budget("day", limit=100)
    now = at("2026-11-29T12:00:00")
    period = budget.admit(now, 90)
    assert budget.wait_s(now, 11) == 12 * 3600
    assert budget.wait_s(now, 101) == -1
    budget.give_back(period, 50)
    assert budget.wait_s(now, 60) == 0
    assert budget.wait_s(now + 12 * 3600, 100) == 0
    budget.give_back(period, 40)  # of yesterday: nothing of today's
    assert budget.used == 0


def test_a_clock_that_is_set_back_opens_nothing_again() -> None:
    budget = Budget("month", limit=10)
    budget.admit(at("2026-11-01T00:00:00"), 10)
    assert budget.wait_s(at("2026-10-31T00:00:00"), 1) > 0
