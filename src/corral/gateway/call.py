"""The endpoints of the admin API: looking something up, and changing something.

Trust: gateway [net]. Input: hostile requests. What both kinds have in common stands here, so that
no route can leave any of it out:

    the body is bounded and of its type; a query likewise
    who asks is asked again when all of the body has come, which may have taken its time, and
    once more when the database is locked for the change
    what changes something is on record, with its arguments, before it is done
    whatever goes wrong is one of the refusals of `gateway.refusals`, without insides

A route is a function of a `Call`; it works beside the event loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar, runtime_checkable

import msgspec
from starlette.types import Receive, Scope, Send

from corral.core.errors import CorralError
from corral.gateway.errors import (
    AUDIT_UNAVAILABLE,
    PERMISSION_DENIED,
    TOO_LARGE,
    UNAUTHENTICATED,
    ApiError,
    bad_request,
)
from corral.gateway.exchange import Exchange
from corral.gateway.pipeline import Services
from corral.gateway.query import parse_query
from corral.gateway.refusals import refusal_of
from corral.state.transaction import STILL_MAY
from corral.tenancy.permissions import Permission
from corral.tenancy.principal import Principal
from corral.tenancy.token import holds_secret

_BODY_BYTES: Final = 8192
_NO_STORE: Final = (b"cache-control", b"no-store")
_WRONG_BODY: Final = bad_request("invalid_json", "the body is not what this address takes")
_SECRET: Final = bad_request(
    "secret_in_request", "a whole API key stands where its id, prefix or another name belongs"
)
_WRONG_QUERY: Final = bad_request("invalid_parameter", "the query is not what this address takes")

_Asked = TypeVar("_Asked", bound=msgspec.Struct)


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of an address that takes no body and no query."""

    def words(self) -> dict[str, str]:
        """Return what the audit log keeps of it."""
        return {}


@runtime_checkable
class Told(Protocol):
    """A body or an answer that says itself what of it belongs into the audit log."""

    def words(self) -> dict[str, str]:
        """Return its arguments by name: names and numbers only, no secret and no free text."""


@dataclass(frozen=True, slots=True)
class Call(Generic[_Asked]):
    """One request to the admin API.

    Attributes:
        principal: whose it is, as of the end of its body.
        names: of the address, by what they are in it.
        asked: its body, or its query.
    """

    services: Services
    principal: Principal
    names: Mapping[str, str]
    asked: _Asked


class Lookup(Generic[_Asked]):
    """Answers with what a function finds.

    Args:
        services: what the pipeline works with.
        kind: type of the query.
        find: returns the answer; called in a thread of `gateway.lookup_pool`.
    """

    def __init__(
        self, services: Services, kind: type[_Asked], find: Callable[[Call[_Asked]], object]
    ) -> None:
        self._services = services
        self._kind = kind
        self._find = find

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        self._services.ledger.touch(exchange.principal.key_id)
        try:
            asked = parse_query(scope, self._kind)
        except ValueError:
            await exchange.refuse(_WRONG_QUERY)
            return
        call = Call(self._services, exchange.principal, _names(scope), asked)
        pool, tenant = self._services.lookups, exchange.principal.tenant
        found = await _outcome(lambda: pool.run(tenant, lambda: self._find(call)))
        if isinstance(found, ApiError):
            await exchange.refuse(found)
        else:
            await exchange.answer(200, msgspec.json.encode(found), [_NO_STORE])


class Change(Generic[_Asked]):
    """Does what a function does, with its record before it.

    Args:
        services: what the pipeline works with.
        permission: asked for again when the body has come.
        kind: type of the body, or of the query of a DELETE, which has none.
        make: does it and returns the answer.
        status: of a success.
    """

    def __init__(
        self,
        services: Services,
        permission: Permission,
        kind: type[_Asked],
        make: Callable[[Call[_Asked]], Awaitable[object]],
        *,
        status: int = 200,
    ) -> None:
        self._services = services
        self._permission = permission
        self._kind = kind
        self._make = make
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        self._services.ledger.touch(exchange.principal.key_id)
        asked = await self._read(exchange, scope)
        if isinstance(asked, ApiError):
            await exchange.refuse(asked)
            return
        if asked is None:
            return
        principal = self._services.keyring.identify(exchange.credential)
        if principal is None or not principal.may(self._permission):
            await exchange.refuse(PERMISSION_DENIED if principal else UNAUTHENTICATED)
            return
        names = _names(scope)
        exchange.trail.on({"method": scope["method"], **names, **_words(asked)})
        exchange.trail.begin()
        if not await exchange.trail.durable():
            await exchange.refuse(AUDIT_UNAVAILABLE)
            return
        call = Call(self._services, principal, names, asked)
        STILL_MAY.set(lambda: self._check(exchange))  # for this request's task and its threads
        made = await _outcome(lambda: self._make(call))
        if isinstance(made, ApiError):
            await exchange.refuse(made)
        else:
            exchange.trail.add(_words(made))
            await exchange.answer(self._status, msgspec.json.encode(made), [_NO_STORE])

    def _check(self, exchange: Exchange) -> None:
        principal = self._services.keyring.identify(exchange.credential)
        if principal is None or not principal.may(self._permission):
            raise CorralError("invalid_api_key", "the credential has ended meanwhile")

    async def _read(self, exchange: Exchange, scope: Scope) -> _Asked | ApiError | None:
        """Return what is asked, or why not; None if the client has gone."""
        body = await exchange.body(_BODY_BYTES)
        if body is None:
            return None if exchange.gone else TOO_LARGE
        if holds_secret(body.decode(errors="replace")):
            return _SECRET
        if scope["method"] == "DELETE":
            if body:
                return _WRONG_BODY
            try:
                return parse_query(scope, self._kind)
            except ValueError:
                return _WRONG_QUERY
        if scope["query_string"]:
            return _WRONG_QUERY
        try:
            return msgspec.json.decode(body or b"{}", type=self._kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return _WRONG_BODY


def _names(scope: Scope) -> dict[str, str]:
    """Return the names in the address; a whole API key among them is none, and goes nowhere."""
    found = {str(name): str(value) for name, value in scope.get("path_params", {}).items()}
    return {name: "?" if holds_secret(value) else value for name, value in found.items()}


def _words(told: object) -> dict[str, str]:
    return told.words() if isinstance(told, Told) else {}


async def _outcome(work: Callable[[], Awaitable[object]]) -> object:
    """Return what the work returns, or the refusal that its error means."""
    try:
        return await work()
    except CorralError as error:
        return refusal_of(error.code)
    except (sqlite3.Error, OSError):
        return refusal_of("database_unavailable")
