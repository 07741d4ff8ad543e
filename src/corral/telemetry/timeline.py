"""What one request did when: some stamps on the event loop, which a trace is made of later.

Trust: gateway [net]. Must never hold text of a client, a tenant or an engine: what is noted here is
of our own tables, was checked as a name, or is a number. Nothing is noted per token.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal, get_args

Stage = Literal["receive", "admit", "lease", "prepare", "worker", "engine"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
"""What a request goes through, in this order; docs/traces.md says what each is."""
METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})
"""Methods by their name; any other is `_OTHER`, as the semantic conventions have it."""


class Timeline:
    """The stamps of one request; a stage ends where the next one begins.

    Args:
        method: of HTTP, as the client said it.
        route: its address as in the table of routes.
        request_id: our own.
        done: called once, when it has ended and nobody owes its tokens any more.

    Attributes:
        at_ns: when it came, in nanoseconds since 1970.
        began_ns: the same by the monotonic clock, as all that follows.
        ended_ns: when its answer was over.
        stages: each with when it began; None ends the one before it.
        heard_ns: when the first piece of the answer came from the engine; 0 if none did.
        status: of HTTP; 0 if none was sent.
        code: `ok`, `cancelled` or an error's code.
        tenant, key: whose, and the public part of the credential; empty for strangers.
        model: name of an admitted model that the tenant may use, or empty.
        operation: what it asks of a model, by the semantic conventions, or empty.
        tokens: of prompt and answer, and those of the prompt that were cached.
        parent: trace and span that the caller says it is part of, in hexadecimal.
    """

    __slots__ = (
        "_done", "_owed", "at_ns", "began_ns", "code", "ended_ns", "heard_ns", "key", "method",
        "model", "operation", "parent", "request_id", "route", "stages", "status", "tenant",
        "tokens",
    )  # fmt: skip

    def __init__(
        self, method: str, route: str, request_id: str, done: Callable[[Timeline], None]
    ) -> None:
        self.at_ns = time.time_ns()
        self.began_ns = time.monotonic_ns()
        self.ended_ns = self.heard_ns = self.status = 0
        self.method = method if method in METHODS else "_OTHER"
        self.route = route
        self.request_id = request_id
        self.stages: list[tuple[Stage | None, int]] = []
        self.code = self.tenant = self.key = self.model = self.operation = ""
        self.tokens: tuple[int, int, int] | None = None
        self.parent: tuple[str, str] | None = None
        self._done = done
        self._owed = 1

    def enter(self, stage: Stage | None) -> None:
        """Begin a stage, or none."""
        self.stages.append((stage, time.monotonic_ns()))

    def by(self, tenant: str, key: str) -> None:
        """Say whose request it is."""
        self.tenant, self.key = tenant, key

    def about(self, model: str, operation: str) -> None:
        """Say what is asked of which admitted model."""
        self.model, self.operation = model, operation

    def answered(self, status: int) -> None:
        """Say which status was sent."""
        self.status = status

    def hear(self) -> None:
        """Note that the first piece of the answer has come."""
        self.heard_ns = time.monotonic_ns()

    def owe(self) -> None:
        """Let it wait for `settle`: its tokens may be known only after its end."""
        self._owed += 1

    def settle(self, prompt: int, completion: int, cached: int) -> None:
        """Say what an engine counted."""
        self.tokens = (prompt, completion, cached)
        self._paid()

    def end(self, code: str) -> None:
        """Say how it ended; nothing but `settle` comes after it."""
        self.ended_ns = time.monotonic_ns()
        self.code = code
        self._paid()

    def _paid(self) -> None:
        self._owed -= 1
        if not self._owed:
            self._done(self)


class Untraced(Timeline):
    """Of a request that leaves no trace: takes everything and keeps nothing."""

    __slots__ = ()

    def enter(self, stage: Stage | None) -> None:
        """Keep nothing."""

    def by(self, tenant: str, key: str) -> None:
        """Keep nothing."""

    def about(self, model: str, operation: str) -> None:
        """Keep nothing."""

    def answered(self, status: int) -> None:
        """Keep nothing."""

    def hear(self) -> None:
        """Keep nothing."""

    def owe(self) -> None:
        """Keep nothing."""

    def settle(self, prompt: int, completion: int, cached: int) -> None:
        """Keep nothing."""


UNTRACED: Final = Untraced("", "", "", lambda _: None)
"""The one timeline of all requests that leave no trace."""
