"""What every engine driver offers to the worker.

Trust: jail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

OnChunk = Callable[[dict[str, Any]], bool]
"""Takes one chunk in llama.cpp's OpenAI-like shape; returns True to stop the request."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What a worker is started with.

    Attributes:
        context_tokens: context of each parallel request.
        event_interval_ms: see `engine.pacer`; the worker's matter, not the driver's.
    """

    model_path: str
    context_tokens: int
    parallel: int
    threads: int
    event_interval_ms: int = 0


class Engine(Protocol):
    """A loaded model; both calls block, are safe from several threads, and stream.

    Attributes:
        name: engine and version.
    """

    name: str

    def chat(self, body: dict[str, Any], on_chunk: OnChunk) -> None:
        """Answer a chat."""

    def complete(self, body: dict[str, Any], on_chunk: OnChunk) -> None:
        """Continue a text."""
