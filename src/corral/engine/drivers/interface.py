"""What every engine driver offers to the worker.

Trust: jail.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    OnChunk = Callable[[bytes], bool]
    """Takes one chunk, JSON in llama.cpp's OpenAI-like shape; returns True to stop the request."""
else:
    Protocol = object


class EngineOptions:
    """What a worker is started with.

    Attributes:
        context_tokens: context of each parallel request.
        adapter: path of a LoRA adapter that is laid over the model, and how strongly (1.0 is as
            it was trained); None for none.
        projector: path of what makes images fit for the model; empty, as it is at first, for none.
        template: chat template; the engine must use no other.
        event_interval_ms: see `engine.pacer`; this and what follows is the worker's matter, not
            the driver's.
        sealed_profile: file of the calls that stay allowed; see `engine.seal`.
        landlock: whether the kernel must have Landlock.
    """

    __slots__ = (
        "adapter", "context_tokens", "event_interval_ms", "landlock",
        "model_path", "parallel", "projector", "sealed_profile", "template", "threads",
    )  # fmt: skip

    def __init__(
        self,
        *,
        model_path: str,
        context_tokens: int,
        parallel: int,
        threads: int,
        event_interval_ms: int = 0,
        sealed_profile: str = "",
        landlock: bool = True,
        template: str = "",
        adapter: tuple[str, float] | None = None,
    ) -> None:
        self.model_path = model_path
        self.context_tokens = context_tokens
        self.parallel = parallel
        self.threads = threads
        self.event_interval_ms = event_interval_ms
        self.sealed_profile = sealed_profile
        self.landlock = landlock
        self.template = template
        self.adapter = adapter
        self.projector = ""


class ConversationError(RuntimeError):
    """The template takes no conversation of this form, such as one that ends in two answers."""


class MediaError(Exception):
    """The engine takes no such image or sound."""


class Engine(Protocol):
    """An engine; making one loads its code, but no thread exists yet.

    The calls block; `chat` and `complete` are safe from several threads, and stream.

    Attributes:
        name: engine and version.
    """

    name: str

    def load(self, options: EngineOptions) -> None:
        """Load the model; once it returns, the engine makes no thread and opens no file any more.

        Raises:
            Exception: whatever the engine raises for a model that it cannot load.
        """

    def is_special(self, text: str) -> bool:
        """Return whether a text is one special token, where such are looked for."""

    def chat(self, body: dict[str, Any], media: list[str], on_chunk: OnChunk) -> None:
        """Answer a chat.

        Args:
            body: the engine's request; its messages may have places for media.
            media: images and sounds of the messages, in their order, as base64.
            on_chunk: takes the answer.

        Raises:
            PromptError: no prompt can be made in which no content is a control token.
            ConversationError: the model's template does not take it.
            MediaError: the media are none that our own decoders make, or the model takes none.
        """

    def complete(self, body: dict[str, Any], on_chunk: OnChunk) -> None:
        """Continue a text; it raises what `chat` raises."""
