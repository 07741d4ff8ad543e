"""One question after another, each on a connection of its own, TLS handshake included."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable

from prompts import prompts
from stream_client import Connection, Endpoint, StreamError


async def ask_one_by_one(
    endpoint: Endpoint, many: int, tokens: int, between: Callable[[], None] = lambda: None
) -> tuple[list[float], int]:
    """Return how long each whole answer took, in milliseconds, and how many failed."""
    taken: list[float] = []
    failed = 0
    questions = prompts()
    for _ in range(many):
        began_s = time.perf_counter()
        try:
            async with connected(endpoint) as connection:
                answer = await connection.ask(next(questions)[:60], tokens)
        except (StreamError, OSError, TimeoutError):
            failed += 1
        else:
            taken.append((answer.last_s - began_s) * 1000)
        between()
    return taken, failed


@contextlib.asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[Connection]:
    """Hold one connection while the block runs."""
    connection = await Connection.open(endpoint)
    try:
        yield connection
    finally:
        connection.close()
