"""/v1/chat/completions, read side: completions that a tenant has stored, as OpenAI's clients ask.

Trust: gateway [net]. Input: hostile requests. Whose shelf is looked at comes from the credential
alone; an id that is not on it is answered like one that never was.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from starlette.types import Receive, Scope, Send

from corral.core.errors import CorralError
from corral.gateway.errors import ApiError, bad_request
from corral.gateway.exchange import Exchange
from corral.gateway.keeping import STORAGE_UNAVAILABLE
from corral.gateway.pipeline import Services
from corral.gateway.query import query_fields
from corral.tenancy.stored import Order, Shelf

_T = TypeVar("_T")
_NOT_FOUND: Final = ApiError(
    404, "completion_not_found", "no completion of this id is stored for this tenant"
)
_UNREADABLE: Final = ApiError(
    500, "stored_unreadable", "a stored completion was changed, or its key is gone", "server_error"
)
_PAGE: Final = 20
_PAGE_MAX: Final = 100
_METADATA: Final = re.compile(r"metadata\[(.{1,512})\]", re.DOTALL)


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a list is asked for; `metadata` and `model` are for completions only."""

    after: str = ""
    limit: int = _PAGE
    order: Order = "asc"
    model: str = ""
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)


class Listed(msgspec.Struct, frozen=True):
    """What of a stored answer a list is chosen by."""

    id: str
    model: str
    metadata: dict[str, str]


class _Shelved:
    """What the endpoints have in common."""

    def __init__(self, services: Services) -> None:
        self._services = services


class StoredList(_Shelved):
    """GET /v1/chat/completions."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a page of the tenant's stored completions."""
        exchange = Exchange(scope, receive, send)
        query = _query(scope)
        if isinstance(query, ApiError):
            await exchange.refuse(query)
            return

        def wanted(answer: bytes) -> bool:
            listed = msgspec.json.decode(answer, type=Listed)
            return query.model in {"", listed.model} and all(
                listed.metadata.get(name) == value for name, value in query.metadata.items()
            )

        page = await _on_shelf(
            exchange, self._services,
            lambda shelf, key: shelf.page(
                key, after=query.after, order=query.order, limit=query.limit, wanted=wanted
            ),
        )  # fmt: skip
        if page is not None:
            answers, more = page
            ids = [msgspec.json.decode(one, type=Listed).id for one in answers]
            await exchange.answer(
                200, _list_body([msgspec.Raw(o) for o in answers], ids, more=more)
            )


class StoredOne(_Shelved):
    """GET /v1/chat/completions/{completion}."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with one stored completion."""
        exchange = Exchange(scope, receive, send)
        completion = scope["path_params"]["completion"]
        answer = await _on_shelf(
            exchange, self._services, lambda shelf, key: shelf.find(key, completion, "answer")
        )
        if answer is not None:
            await exchange.answer(200, answer)


class StoredMessages(_Shelved):
    """GET /v1/chat/completions/{completion}/messages."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a page of the messages that a stored completion answered."""
        exchange = Exchange(scope, receive, send)
        query = _query(scope)
        if isinstance(query, ApiError):
            await exchange.refuse(query)
            return
        completion = scope["path_params"]["completion"]
        found = await _on_shelf(
            exchange, self._services, lambda shelf, key: shelf.find(key, completion, "messages")
        )
        if found is None:
            return
        messages = msgspec.json.decode(found, type=list[dict[str, object]])
        if query.order == "desc":
            messages.reverse()
        ids = [str(one["id"]) for one in messages]
        if query.after and query.after not in ids:
            await exchange.refuse(_NOT_FOUND)
            return
        start = ids.index(query.after) + 1 if query.after else 0
        end = start + query.limit
        body = _list_body(messages[start:end], ids[start:end], more=len(ids) > end)
        await exchange.answer(200, body)


class StoredDelete(_Shelved):
    """DELETE /v1/chat/completions/{completion}."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Delete one stored completion."""
        exchange = Exchange(scope, receive, send)
        completion = scope["path_params"]["completion"]
        deleted = await _on_shelf(
            exchange, self._services, lambda shelf, _: shelf.delete(completion) or None
        )
        if deleted is not None:
            body = {"object": "chat.completion.deleted", "id": completion, "deleted": True}
            await exchange.answer(200, msgspec.json.encode(body))


async def _on_shelf(
    exchange: Exchange, services: Services, work: Callable[[Shelf, bytes], _T | None]
) -> _T | None:
    """Return what is found on the tenant's shelf, or refuse the request and return None."""
    tenant = exchange.principal.tenant
    storage = services.storage
    try:
        shelf = storage.shelf(tenant, services.limits.quota(tenant, ""))
        key = storage.key(tenant)
        found = await storage.run(lambda: work(shelf, key))
    except (CorralError, sqlite3.Error, OSError) as error:
        changed = isinstance(error, CorralError) and error.code == "stored_unreadable"
        await exchange.refuse(_UNREADABLE if changed else STORAGE_UNAVAILABLE)
        return None
    if found is None:
        await exchange.refuse(_NOT_FOUND)
    return found


def _query(scope: Scope) -> Query | ApiError:
    wrong = bad_request("invalid_parameter", "the query is not what this address takes")
    try:
        fields: dict[str, object] = {}
        metadata: dict[str, str] = {}
        for name, value in query_fields(scope):
            match = _METADATA.fullmatch(name)
            if match:
                metadata[match[1]] = value
            else:
                fields[name] = value
        if metadata:
            fields["metadata"] = metadata
        query = msgspec.convert(fields, Query, strict=False)
    except (ValueError, msgspec.ValidationError):
        return wrong
    return query if 1 <= query.limit <= _PAGE_MAX else wrong


def _list_body(data: Sequence[object], ids: list[str], *, more: bool) -> bytes:
    return msgspec.json.encode(
        {
            "object": "list",
            "data": data,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
            "has_more": more,
        }
    )
