"""What goes on beside a server, in the child that told that it is ready.

Trust: operator side. Each task says how long it may rest; none ends the others by an error.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from corral.cli.failure import typed_failure
from corral.cli.terminal import print_error
from corral.core.config import Config
from corral.core.home import Home

Task = Callable[[], float]
"""Does one round of its work and returns in how many seconds the next is due."""
_ENERGY_S: Final = 60.0


def tasks_beside(home: Home, config: Config, root: Path = Path("/")) -> tuple[Task, ...]:
    """Return what this server needs: new keys of OIDC providers, energy where it is counted.

    Args:
        home: state folder.
        config: effective configuration.
        root: of the host's files.
    """
    from corral.doctor.energy import EnergyCounters
    from corral.doctor.files import HostFiles

    tasks: list[Task] = []
    if config.identity.oidc:
        from corral.cli.oidc import refresh_round

        tasks.append(lambda: refresh_round(home, config))
    counters = EnergyCounters(HostFiles(root))
    if counters.readable:
        tasks.append(energy_task(home.database, counters.take_j))
    return tuple(tasks)


def energy_task(database: Path, take_j: Callable[[], float]) -> Task:
    """Return the task that shares out energy among requests (`tenancy.energy`)."""
    from corral.tenancy.energy import newest_row, share_out

    last, since_s = -1, time.monotonic()

    def work() -> float:
        nonlocal last, since_s
        joules, now_s = take_j(), time.monotonic()
        seconds, since_s = now_s - since_s, now_s
        # What was used before the first look belongs to nobody.
        last = newest_row(database) if last < 0 else share_out(database, last, joules, seconds)
        return _ENERGY_S

    return work


def run_beside(tasks: Sequence[Task], server: int, *, again_s: float = 60) -> None:
    """Do all tasks, again and again, until the server has ended.

    Args:
        tasks: at least one.
        server: pidfd of the launcher.
        again_s: rest of a task that failed.
    """
    ended = select.poll()
    ended.register(server, select.POLLIN)
    due = dict.fromkeys(range(len(tasks)), time.monotonic())
    while True:
        number = min(due, key=due.__getitem__)
        if ended.poll(max(0.0, due[number] - time.monotonic()) * 1000):
            return
        due[number] = time.monotonic() + _round(tasks[number], again_s)


def _round(task: Task, again_s: float) -> float:
    try:
        return task()
    except Exception as error:
        with suppress(OSError):  # whoever read our words may have gone
            print_error(typed_failure(error), as_json=False)
        return again_s
