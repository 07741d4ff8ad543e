"""Progress bars for pull, scan and load, drawn on stderr where that is a terminal.

Trust: operator side. Input: numbers and fixed words of `admission.progress`; a checked model name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from corral.cli.terminal import notes, size_text

if TYPE_CHECKING:
    from corral.admission.progress import Progress, Stage

_WORDS: Final[dict[Stage, str]] = {
    "wait": "waiting for another pull",
    "ask": "asking the source",
    "hash": "hashing",
    "fetch": "downloading",
    "copy": "copying and hashing",
    "scan": "scanning in a jail",
    "trial": "trial load in a jail",
    "admit": "admitting",
    "check": "hashing the store",
}


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Yield a function that draws how far the work has come."""
    from rich import progress

    bar = progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeElapsedColumn(),
        console=notes(),
        transient=True,
        disable=not notes().is_terminal,
    )
    task = bar.add_task("", total=None)
    shown: Stage | None = None

    def show(stage: Stage, done_bytes: int, total_bytes: int) -> None:
        nonlocal shown
        if stage != shown:
            shown = stage
            bar.reset(task, description=_WORDS[stage], total=None)
        bar.update(task, completed=done_bytes, total=total_bytes or None)

    with bar:
        yield show


@contextmanager
def shown_load(model: str) -> Iterator[Callable[[int], None]]:
    """Yield a function that draws how much memory a worker has that loads a model.

    There is no percentage: how much it will have in the end is not known before.
    """
    from rich import progress

    bar = progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TextColumn("{task.fields[memory]}"),
        progress.TimeElapsedColumn(),
        console=notes(),
        transient=True,
        disable=not notes().is_terminal,
    )
    task = bar.add_task(f"loading {model} in its sandbox", total=None, memory="")

    def show(resident_bytes: int) -> None:
        if resident_bytes:
            bar.update(task, memory=f"{size_text(resident_bytes)} in memory")

    with bar:
        yield show


@contextmanager
def shown_status() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows what runs now, where stderr is a terminal."""
    if not notes().is_terminal:
        yield lambda _: None
        return
    with notes().status("") as status:
        yield status.update
