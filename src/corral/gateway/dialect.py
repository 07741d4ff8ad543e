"""The ways of asking for a completion: how each is parsed and how its answer looks.

Trust: gateway [net].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from corral.gateway.ask import Ask, Shape
from corral.gateway.errors import ApiError
from corral.gateway.schemas.chat import parse_chat
from corral.gateway.schemas.completion import parse_completion
from corral.gateway.shapes.chat import ChatShape
from corral.gateway.shapes.completion import CompletionShape
from corral.guard.policy_file import Route


class Parse(Protocol):
    """Turns a body into an `Ask`."""

    def __call__(self, body: bytes, *, max_tokens: int) -> Ask | ApiError:
        """Return what the body asks, or why it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One endpoint's way of asking and answering.

    Attributes:
        parse: body to `Ask`.
        shape: makes the answer's shape from the ask and the model's fingerprint.
        needs_template: the model must have a chat template.
        route: its name in rules of sanitation policies.
        operation: its name in traces, by OpenTelemetry's semantic conventions.
    """

    parse: Parse
    shape: Callable[[Ask, str], Shape]
    needs_template: bool
    route: Route
    operation: Literal["chat", "text_completion"]


CHAT: Final = Dialect(
    parse=parse_chat, shape=ChatShape, needs_template=True, route="chat", operation="chat"
)  # fmt: skip
COMPLETION: Final = Dialect(
    parse=parse_completion, shape=CompletionShape, needs_template=False,
    route="completions", operation="text_completion",
)  # fmt: skip
