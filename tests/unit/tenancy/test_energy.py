"""What is counted is shared out by engine time, and never more of it than was counted."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corral.state.transaction import transaction
from corral.tenancy.energy import newest_row, share_out
from corral.tenancy.usage import sum_usage

_ROW = """
INSERT INTO usage (tenant, key_id, model, prompt_tokens, completion_tokens, cached_tokens, status,
    duration_ms, ts_ms, engine_ms) VALUES (?, 1, 'm', 1, 1, 0, 'ok', 1, 1, ?)
"""


def ended(database: Path, *requests: tuple[str, int]) -> None:
    with transaction(database) as connection:
        connection.executemany(_ROW, requests)


def energies(database: Path) -> dict[str | None, float | None]:
    return {one.tenant: one.energy_j for one in sum_usage(database, by=("tenant",))}


def test_a_minute_is_shared_by_engine_time(database: Path) -> None:
    ended(database, ("before", 9000))
    last = newest_row(database)
    ended(database, ("acme", 60_000), ("acme", 30_000), ("bolt", 30_000), ("idle", 0))
    last = share_out(database, last, joules=1200, seconds=60)
    assert energies(database) == {"before": None, "acme": 900, "bolt": 300, "idle": 0}
    assert last == newest_row(database)
    ended(database, ("bolt", 6000))
    share_out(database, last, joules=600, seconds=60)
    assert energies(database)["bolt"] == 360, "six of sixty seconds: the rest was nobody's"
    assert energies(database)["acme"] == 900, "what is shared out is not touched again"


def test_nothing_ended_or_no_time_passed(database: Path) -> None:
    assert newest_row(database) == 0
    assert share_out(database, 0, joules=5, seconds=60) == 0
    ended(database, ("acme", 60_000))
    assert share_out(database, 0, joules=5, seconds=0) == 1
    assert energies(database) == {"acme": None}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    engine_ms=st.lists(st.integers(-(1 << 50), 1 << 50), min_size=1, max_size=6),
    joules=st.floats(0, 1e9), seconds=st.floats(0.001, 1e6),
)  # fmt: skip
def test_never_more_than_was_counted(
    database: Path, engine_ms: list[int], joules: float, seconds: float
) -> None:
    before = newest_row(database)
    held = energies(database).get("acme") or 0.0
    ended(database, *(("acme", one) for one in engine_ms))
    share_out(database, before, joules, seconds)
    shared = (energies(database).get("acme") or 0.0) - held
    assert shared <= joules * (1 + 1e-6) + 1e-6 * len(engine_ms) + 1e-6 * held
