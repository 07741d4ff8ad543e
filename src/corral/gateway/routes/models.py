"""GET /v1/models and /v1/models/{model}: what this key may use, and nothing else.

Trust: gateway [net]. Input: hostile requests; unknown and forbidden models look the same.
"""

from __future__ import annotations

import sqlite3

import msgspec
from starlette.types import Receive, Scope, Send

from corral.admission.catalog import CatalogEntry
from corral.core.errors import CorralError
from corral.gateway.errors import CATALOG_UNAVAILABLE, ApiError
from corral.gateway.exchange import Exchange
from corral.gateway.pipeline import Services
from corral.gateway.stages import find_usable, usable


class ModelList:
    """GET /v1/models."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with every admitted model that the key may use."""
        exchange = Exchange(scope, receive, send)
        principal = exchange.principal
        self._services.ledger.touch(principal.key_id)
        try:
            entries = self._services.catalog.entries()
        except (CorralError, sqlite3.Error, OSError):
            await exchange.refuse(CATALOG_UNAVAILABLE)
            return
        data = [_model(e) for _, e in sorted(entries.items()) if usable(principal, e)]
        await exchange.answer(200, msgspec.json.encode({"object": "list", "data": data}))


class ModelDetail:
    """GET /v1/models/{model}."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with one admitted model that the key may use."""
        exchange = Exchange(scope, receive, send)
        principal = exchange.principal
        self._services.ledger.touch(principal.key_id)
        name = scope["path_params"]["model"]
        entry = find_usable(principal, name, self._services.catalog)
        if isinstance(entry, ApiError):
            await exchange.refuse(entry)
            return
        await exchange.answer(200, msgspec.json.encode(_model(entry)))


def _model(entry: CatalogEntry) -> dict[str, object]:
    return {
        "id": entry.name,
        "object": "model",
        "created": int(entry.admitted_at.timestamp()),
        "owned_by": "corral",
    }
