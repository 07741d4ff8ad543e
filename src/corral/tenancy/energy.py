"""Share out what the machine's processors used among the requests that ended meanwhile.

Trust: operator side. Input: joules of `doctor.energy`; usage rows, which the gateway's zone
writes.

The counters know packages, not processes: what a request gets is the mean power of a minute or so
times its engine time, divided by how many requests computed at once on average. The machine's own
idling and whatever else runs on it are in that; the sum over requests is never more than what was
counted. A request that took longer than the span gets less than it used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from corral.state.transaction import snapshot, transaction

_ENGINE_MS_MAX: Final = 86_400_000
"""A row that says more, or less than nothing, is not believed further."""
_NEWEST: Final = "SELECT coalesce(max(id), 0) FROM usage"
_ENGINE: Final = (
    "SELECT coalesce(sum(max(min(engine_ms, ?), 0)), 0) FROM usage WHERE id > ? AND id <= ?"
)
_SHARE: Final = """
UPDATE usage SET energy_uj = CAST(round(max(min(engine_ms, ?), 0) * ?) AS INTEGER)
WHERE id > ? AND id <= ?
"""


def newest_row(database: Path) -> int:
    """Return the id of the last usage row; 0 if there is none.

    Raises:
        CorralError: code `database_unavailable`.
    """
    with snapshot(database) as connection:
        return int(connection.execute(_NEWEST).fetchone()[0])


def share_out(database: Path, after: int, joules: float, seconds: float) -> int:
    """Note the energy of the requests that ended in a span.

    Args:
        database: the installation's.
        after: id of the last usage row of the span before.
        joules: what the machine used in the span.
        seconds: how long it was.

    Returns:
        The id of its last usage row.

    Raises:
        CorralError: code `database_unavailable`.
    """
    last = newest_row(database)
    if last <= after:
        return last
    with transaction(database) as connection:
        (engine_ms,) = connection.execute(_ENGINE, (_ENGINE_MS_MAX, after, last)).fetchone()
        if engine_ms and seconds > 0:
            uj_per_ms = joules * 1e6 / max(float(engine_ms), seconds * 1000)
            connection.execute(_SHARE, (_ENGINE_MS_MAX, uj_per_ms, after, last))
    return last
