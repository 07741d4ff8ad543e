"""GET /healthz and /readyz: yes or no, for anybody; /healthz also says whether walls are missing.

Trust: gateway [net]. Input: hostile requests. A stranger learns only *that* the operator accepted a
missing wall; which one is told to whoever has a live key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from corral.gateway.exchange import Exchange
from corral.tenancy.keyring import Keyring

_SOON: Final = ((b"retry-after", b"1"),)


class Ready:
    """Answers 200 while `good` says so, else 503."""

    def __init__(self, good: Callable[[], bool]) -> None:
        self._good = good

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one probe."""
        exchange = Exchange(scope, receive, send)
        if self._good():
            await exchange.answer(200, b'{"status":"ok"}')
        else:
            await exchange.answer(503, b'{"status":"unavailable"}', _SOON)


class Health:
    """Answers 200 as long as the process answers at all.

    Args:
        keyring: who may know details.
        degraded: walls that are missing by the operator's leave.
        detector: whether it is `starting`, `absent`, `ready` or `failed`.
    """

    def __init__(
        self, keyring: Keyring, degraded: tuple[str, ...], detector: Callable[[], str]
    ) -> None:
        self._detector = detector
        self._keyring = keyring
        self._short = {"status": "ok", "degraded": bool(degraded)}
        self._full = {**self._short, "degraded_walls": degraded}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one probe."""
        exchange = Exchange(scope, receive, send)
        known = self._keyring.identify(exchange.credential) is not None
        told = {**self._full, "detector": self._detector()} if known else self._short
        await exchange.answer(200, msgspec.json.encode(told))
