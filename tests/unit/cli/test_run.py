"""The prompt that comes on stdin."""

from __future__ import annotations

import io

import pytest

from corral.cli.run import piped_prompt
from corral.core.errors import CorralError
from corral.core.limits import WIRE_LINE_BYTES


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> io.BytesIO:
    raw = io.BytesIO(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw, encoding="utf-8"))
    return raw


def test_bytes_that_are_no_text_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, b"caf\xe9 \xff\n")
    assert piped_prompt() == "caf\ufffd \ufffd\n"


def test_an_endless_prompt_is_refused_and_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = pipe(monkeypatch, b"x" * (4 * WIRE_LINE_BYTES))
    with pytest.raises(CorralError) as refused:
        piped_prompt()
    assert refused.value.code == "prompt_too_long"
    assert raw.tell() < 2 * WIRE_LINE_BYTES
    pipe(monkeypatch, b"x" * WIRE_LINE_BYTES)
    assert len(piped_prompt()) == WIRE_LINE_BYTES
