"""/admin/v1/shares: models that a tenant offers to others, and what it was offered.

Trust: gateway [net]. Input: hostile requests. For whom a share is offered, accepted or ended comes
from the credential alone; a number that is not this tenant's is answered like one that never was.
Who is offered a model sees what the signed receipt says of it, to decide upon.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from starlette.types import Receive, Scope, Send

from corral.admission.catalog import Catalog, CatalogEntry
from corral.admission.derivation import LaidRecord
from corral.admission.receipt import Receipt
from corral.admission.report import Finding
from corral.core.errors import CorralError
from corral.gateway.errors import (
    CATALOG_UNAVAILABLE,
    TOO_LARGE,
    UNAUTHENTICATED,
    ApiError,
    bad_request,
    model_not_found,
)
from corral.gateway.exchange import Exchange
from corral.gateway.pipeline import Services
from corral.tenancy.permissions import Permission
from corral.tenancy.principal import Principal
from corral.tenancy.shares import Share, accept_share, end_share, list_shares, offer_share

_BODY_BYTES: Final = 4096
_NUMBER_DIGITS: Final = 18
_NOT_FOUND: Final = ApiError(404, "share_not_found", "there is no such share")
_REFUSALS: Final = {
    "share_not_found": _NOT_FOUND,
    "share_changed": ApiError(
        409, "share_changed", "the model is not the artifact that was looked at; look again"
    ),
    "share_with_oneself": bad_request(
        "share_with_oneself", "a tenant cannot share a model with itself", "to"
    ),
    "bad_tenant_name": bad_request("bad_tenant_name", "that is no name of a tenant", "to"),
    "too_many_shares": ApiError(
        409, "too_many_shares", "this tenant has as many open shares as it may; end some"
    ),
}  # fmt: skip
_INVALID: Final = bad_request("invalid_json", "the body is not what this address takes")


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of an offer: name of a granted model, and who may accept it."""

    model: str
    to: str


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of an acceptance: the artifact that was looked at."""

    sha256: str


_Body = TypeVar("_Body")


class ShareList:
    """GET /admin/v1/shares."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the tenant's open shares, offered by it and to it."""
        exchange = Exchange(scope, receive, send)
        principal, database = exchange.principal, self._services.database

        try:
            shares = await asyncio.to_thread(list_shares, database, tenant=principal.tenant)
            data = [_document(one, principal, self._services.catalog) for one in shares]
        except (CorralError, sqlite3.Error, OSError):
            await exchange.refuse(CATALOG_UNAVAILABLE)
            return
        await exchange.answer(200, msgspec.json.encode({"object": "list", "data": data}))


class ShareOffer:
    """POST /admin/v1/shares."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Offer a model to another tenant."""
        exchange = Exchange(scope, receive, send)
        offer = await _read(exchange, Offer)
        if offer is None:
            return

        def change(database: Path, principal: Principal) -> Share:
            return offer_share(
                database, owner=principal.tenant, receiver=offer.to, model=offer.model
            )

        exchange.trail.tell(offer.model, {"to": offer.to})
        await _change(exchange, self._services, change, status=201, model=offer.model)


class ShareAccept:
    """POST /admin/v1/shares/{share}/accept."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept an offer to this tenant."""
        exchange = Exchange(scope, receive, send)
        number = _number(scope)
        accepted = await _read(exchange, Acceptance)
        if accepted is None:
            return

        def change(database: Path, principal: Principal) -> Share:
            return accept_share(database, number, receiver=principal.tenant, digest=accepted.sha256)

        await _change(exchange, self._services, change)


class ShareEnd:
    """DELETE /admin/v1/shares/{share}."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take back, decline or leave a share of this tenant."""
        number = _number(scope)

        def change(database: Path, principal: Principal) -> Share:
            return end_share(database, number, tenant=principal.tenant)

        await _change(Exchange(scope, receive, send), self._services, change)


def _number(scope: Scope) -> int:
    """Return the number in the path; 0, which no share has, for whatever is none."""
    text = scope["path_params"]["share"]
    plain = text.isascii() and text.isdecimal() and len(text) <= _NUMBER_DIGITS
    return int(text) if plain else 0


async def _read(exchange: Exchange, kind: type[_Body]) -> _Body | None:
    """Return the request's body, or refuse it and return None."""
    body = await exchange.body(_BODY_BYTES)
    if body is None:
        if not exchange.gone:
            await exchange.refuse(TOO_LARGE)
        return None
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        await exchange.refuse(_INVALID)
        return None


async def _change(
    exchange: Exchange,
    services: Services,
    change: Callable[[Path, Principal], Share],
    *,
    status: int = 200,
    model: str = "",
) -> None:
    # Again, as the pipeline does it: the body may have come long after the key was taken away.
    principal = services.keyring.identify(exchange.credential)
    if principal is None or not principal.may(Permission.MODEL_SHARE):
        await exchange.refuse(UNAUTHENTICATED)
        return
    if model and not principal.may_use(model):  # the key's own list of models counts too
        await exchange.refuse(model_not_found(model))
        return
    try:
        share = await asyncio.to_thread(change, services.database, principal)
        exchange.trail.tell(share.model, {"from": share.owner, "to": share.receiver})
        body = msgspec.json.encode(_document(share, principal, services.catalog))
    except (CorralError, sqlite3.Error, OSError) as error:
        code = error.code if isinstance(error, CorralError) else ""
        known = model_not_found(model) if code == "model_not_found" else _REFUSALS.get(code)
        await exchange.refuse(known or CATALOG_UNAVAILABLE)
        return
    await exchange.answer(status, body)


def _document(share: Share, principal: Principal, catalog: Catalog) -> dict[str, object]:
    entry = catalog.lookup(share.model)
    known = entry if entry is not None and entry.identity == share.digest else None
    return {
        "id": share.id,
        "object": "model.share",
        "model": share.model,
        "sha256": share.digest,
        "from": share.owner,
        "to": share.receiver,
        "status": share.status,
        "offered_at": share.offered_at,
        "accepted_at": share.accepted_at,
        "ended_at": share.ended_at,
        # None: the name stands for another artifact by now, or for none; the share gives no right.
        "model_sheet": known and _sheet(known, principal),
    }


def _sheet(entry: CatalogEntry, principal: Principal) -> dict[str, object]:
    receipt = entry.receipt
    return {
        "source": _shown_source(receipt.source),
        "signers": [one.name for one in receipt.signers],
        "trust": receipt.trust,
        "findings": _shown_findings(receipt.findings),
        "licence": receipt.licence,
        "architecture": receipt.architecture,
        "size_bytes": receipt.size_bytes,
        "admitted_at": receipt.admitted_at,
        "chat_template": receipt.template.outcome,
        "derived": _derived(receipt),
        "policy_lets_you": receipt.decision.allowance.admits_tenant(principal.tenant),
    }


def _derived(receipt: Receipt) -> dict[str, object] | None:
    """Return what the share's `sha256` is over, and more, for the receiver to compare."""
    derivation = receipt.derivation
    if derivation is None:
        return None
    adapter, projector = derivation.adapter, derivation.projector
    return {
        "base": derivation.base,
        "base_sha256": receipt.digest,
        "template_sha256": receipt.template.sha256,
        "template_override": bool(derivation.template_sha256),
        "adapter": adapter and {**_laid(adapter), "scale": adapter.scale / 1000},
        "projector": projector and _laid(projector),
    }


def _laid(record: LaidRecord) -> dict[str, object]:
    return {
        "sha256": record.digest,
        "size_bytes": record.size_bytes,
        "source": _shown_source(record.source),
        "signers": [one.name for one in record.signers],
        "findings": _shown_findings(record.findings),
    }


def _shown_source(source: str) -> str:
    """Return a source; a path of the operator's machine is nobody's business."""
    return "file" if source.startswith("file:") else source


def _shown_findings(findings: tuple[Finding, ...]) -> list[dict[str, str]]:
    return [{"rule": one.code, "severity": one.severity} for one in findings]
