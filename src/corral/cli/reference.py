"""docs/cli.md: the help of every verb, as `--help` says it.

Trust: operator side, for `make docs` and the test that keeps the page current. Input: none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import typer

_WIDTH: Final = 100
_HEAD: Final = """\
# Commands

This page is what `--help` says, written by `make docs` and kept current by a test.

Exit codes: **0** done · **1** refused or failed · **2** wrong usage (`scan`: could not decide) ·
**70** a defect of corral (`internal_error`; with `CORRAL_TRACEBACK=1` it prints where) ·
**130** interrupted. With `--json`, stdout is exactly one JSON document (`corral logs`: one for each
line of the log); an error is `{"error": {"code", "message", "remedy"}}`, and its words for people
are on stderr.
"""


def render_reference() -> str:
    """Return the whole page."""
    from corral.cli.main import command_line

    parts = [_HEAD]
    for path, text in _helps(typer.main.get_command(command_line()), "corral", None):
        parts.append(f"## {path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _helps(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    # Without rich the help is plain text, the same on every terminal.
    command.rich_markup_mode = None
    context = command.context_class(
        command,
        info_name=name,
        parent=parent,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
        **command.context_settings,
    )
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    yield context.command_path, "\n".join(lines)
    for child, verb in getattr(command, "commands", {}).items():
        yield from _helps(verb, child, context)
