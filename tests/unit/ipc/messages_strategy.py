"""Hypothesis strategies for every message of the table."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st

from corral.ipc.messages import Message

KINDS: tuple[type[Any], ...] = get_args(Message)
PRINTABLE = st.text(
    st.characters(codec="utf-8").filter(str.isprintable), max_size=120
)  # at most 480 bytes of the 512 that a field may have
_VALUES: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(0, (1 << 64) - 1),
    bool: st.booleans(),
    str: PRINTABLE,
}


def messages_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, *(_VALUES[hints[item.name]] for item in fields(kind)))


MESSAGES = st.one_of([messages_of(kind) for kind in KINDS])
