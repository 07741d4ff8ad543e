"""Traces of requests that end without an answer of their route."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from corral.gateway.exchange import OUTCOME
from corral.gateway.tracing import Tracing
from corral.telemetry.trace_files import read_traces
from tests.support.otlp import read_tree


class UnforeseenError(Exception):
    pass


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [("internal_error", 500, "internal_error"), (None, None, "cancelled")],
    ids=["error", "gone"],
)
def test_without_an_answer(
    tmp_path: Path, outcome: str | None, status: int | None, code: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if outcome:
            scope[OUTCOME] = outcome
            raise UnforeseenError

    async def nothing(*_: object) -> None:
        pass

    async def ask(tracing: Tracing) -> None:
        scope = {"type": "http", "method": "GET", "headers": []}
        await tracing.around(app, "/v1/models")(scope, nothing, nothing)  # type: ignore[arg-type]

    tracing = Tracing(tmp_path, files=1)
    try:
        asyncio.run(ask(tracing))
    except UnforeseenError:
        assert outcome
    tracing.close()
    (line,) = read_traces(tmp_path)
    tree = read_tree(line)
    assert tree.outcome == code
    assert tree.said().get("http.response.status_code") == status
    assert tree.said().get("error.type") == outcome
    assert (tree.root.status.code == 2) == bool(outcome)
