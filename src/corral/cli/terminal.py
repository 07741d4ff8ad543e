"""What the command line prints: tables, notes, errors and JSON documents.

Trust: operator side. Input: text of models, files and logs is untrusted; `plain_text` takes every
control character out of it before a terminal sees it.

Data goes to stdout, everything for the person's eyes only to stderr; with `--json`, stdout is
exactly one JSON document (`corral logs`: one for each line), also when the verb fails.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from corral.core.errors import CorralError

if TYPE_CHECKING:
    from rich.console import Console

_KEPT: Final = frozenset("\n\t\u200c\u200d")
"""Line feed, tab, and the two joiners that emoji and Indic scripts are written with."""
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_UNFOLDED: Final = 10_000
"""Characters: wider than any table."""
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def plain_text(text: str) -> str:
    """Return `text` without anything that a terminal would obey instead of show.

    Escape sequences lose their escape character and so stay visible as harmless text; carriage
    returns, bidirectional overrides, invisible tags and lone surrogates are dropped.
    """
    return "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in _HIDDEN)


def plain_line(text: str) -> str:
    """Return `text` as `plain_text` in one line."""
    return " ".join(plain_text(text).split())


def size_text(size_bytes: int) -> str:
    """Return a size for people, such as `93.7 MiB`."""
    value = float(size_bytes)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{size_bytes} B" if unit == "B" else f"{value:.1f} {unit}"


def span_text(span_s: float) -> str:
    """Return a time span for people, such as `2h05m` or `12s`."""
    seconds = int(span_s)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds // 60 % 60:02d}m"
    return f"{seconds // 86400}d{seconds // 3600 % 24:02d}h"


@cache
def screen() -> Console:
    """Return the console of stdout; what another program reads has each row in one line."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _UNFOLDED
    return Console(width=width, highlight=False, markup=False, emoji=False)


@cache
def notes() -> Console:
    """Return the console of stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def json_line(document: object) -> str:
    """Return one JSON document as one line; everything but ASCII is escaped."""
    return json.dumps(document, default=str) + "\n"


def print_json(document: object) -> None:
    """Print one JSON document in one line."""
    sys.stdout.write(json_line(document))
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows as a table; `empty` is the note in place of a table without rows.

    Columns whose name starts with `>` are aligned to the right.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(
            *(cell if isinstance(cell, Text) else Text(plain_line(str(cell))) for cell in row)
        )
    if table.row_count:
        screen().print(table)
    else:
        print_note(empty)


def print_entries(entries: Iterable[tuple[Sequence[object], str]], *, empty: str) -> None:
    """Print what is too wide for a table: aligned cells, and below them one line of more.

    Args:
        entries: cells, and the line below them.
        empty: the note in place of no entries.
    """
    from rich.text import Text

    rows = [
        ([plain_line(str(cell)) for cell in cells], plain_line(more)) for cells, more in entries
    ]
    if not rows:
        print_note(empty)
        return
    widths = [max(map(len, column)) for column in zip(*(cells for cells, _ in rows), strict=True)]
    for cells, more in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        screen().print(Text(line.rstrip()), soft_wrap=True)
        screen().print(Text(f"    {more}", style="dim"), soft_wrap=True)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names and values in two columns."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name, style="bold"), Text(plain_line(str(value))))
    screen().print(table)


def print_heading(text: str) -> None:
    """Print the heading of a group of facts."""
    screen().print(plain_line(text), style="bold underline")


def print_note(text: str) -> None:
    """Print one line for the person at the terminal, on stderr."""
    notes().print(plain_text(text), soft_wrap=True)


def print_warning(error: CorralError) -> None:
    """Print on stderr what is wrong though the verb goes on; the code is last, for searching."""
    from rich.text import Text

    line = Text("warning: ", style="bold yellow")
    line.append(plain_line(error.message), style="not bold default")
    line.append(f"  [{error.code}]", style="dim not bold")
    if error.remedy:
        line.append(f"\n     do: {plain_line(error.remedy)}", style="not bold default")
    notes().print(line, soft_wrap=True)


def print_error(error: CorralError, *, as_json: bool) -> None:
    """Print what happened, why, and what to do; the code is last, for searching."""
    from rich.text import Text

    if as_json:
        print_json(
            {"error": {"code": error.code, "message": error.message, "remedy": error.remedy}}
        )
    line = Text("error: ", style="bold red")
    line.append(plain_text(error.message), style="not bold default")
    line.append(f"  [{error.code}]", style="dim not bold")
    notes().print(line, soft_wrap=True)
    if error.remedy:
        remedy = Text("   do: ", style="bold green")
        remedy.append(plain_text(error.remedy), style="not bold default")
        notes().print(remedy, soft_wrap=True)
