"""What every engine driver offers to the worker.

Trust: jail.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    OnChunk = Callable[[dict[str, Any]], bool]
    """Takes one chunk in llama.cpp's OpenAI-like shape; returns True to stop the request."""
else:
    Protocol = object


class EngineOptions:
    """What a worker is started with.

    Attributes:
        context_tokens: context of each parallel request.
        event_interval_ms: see `engine.pacer`; the worker's matter, not the driver's.
    """

    __slots__ = ("context_tokens", "event_interval_ms", "model_path", "parallel", "threads")

    def __init__(
        self,
        *,
        model_path: str,
        context_tokens: int,
        parallel: int,
        threads: int,
        event_interval_ms: int = 0,
    ) -> None:
        self.model_path = model_path
        self.context_tokens = context_tokens
        self.parallel = parallel
        self.threads = threads
        self.event_interval_ms = event_interval_ms


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
