"""Every command is in one of the two tables of `cli.actions`: recorded, or only reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from corral.cli.actions import ACTIONS, READING
from corral.cli.main import command_line


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if not children:
        yield " ".join(path)
    for name, child in children.items():
        yield from _leaves(child, (*path, name))


def test_every_command_is_recorded_or_said_to_be_reading() -> None:
    found = set(_leaves(typer.main.get_command(command_line()), ()))
    assert len(found) > 30, "the walk misses commands"
    assert found == set(ACTIONS) | READING
    assert not set(ACTIONS) & READING
