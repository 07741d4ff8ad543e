"""What each address does, takes and answers: the part of the API's description that is no route.

Trust: gateway [net]. Data only. Types are the very ones that requests are decoded into and answers
are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from corral.gateway.routes.audit import AuditPage, AuditQuery
from corral.gateway.routes.grants import GrantChanged, GrantList, GrantQuery
from corral.gateway.routes.keys import KeyList, KeyQuery, KeySheet, KeyShown, NewKey, Overlap
from corral.gateway.routes.quotas import QuotaChange, QuotaList, QuotaQuery
from corral.gateway.routes.shares import Acceptance, Offer
from corral.gateway.routes.tenants import (
    Confirmation,
    NewTenant,
    Removal,
    TenantList,
    TenantRemoved,
    TenantSheet,
    TenantWiped,
)
from corral.gateway.routes.usage import UsageList, UsageQuery
from corral.gateway.schemas.chat import ChatRequest
from corral.gateway.schemas.completion import CompletionRequest
from corral.tenancy.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Operation:
    """What is not in the route table.

    Attributes:
        summary: one sentence.
        body: type of the request's body; None if it takes none.
        status: of a success.
        media: type of a success's body.
        reply: type of a success's body, where it has one.
        query: type of its query; None if it takes none.
    """

    summary: str
    body: type | None = None
    status: int = 200
    media: str = "application/json"
    reply: type | None = None
    query: type | None = None


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/v1/chat/completions"):
        Operation("Answer a chat, whole or as a stream of events.", ChatRequest),
    ("GET", "/v1/chat/completions"): Operation("List the tenant's stored chats."),
    ("GET", "/v1/chat/completions/{completion}"): Operation("Show a stored chat's answer."),
    ("DELETE", "/v1/chat/completions/{completion}"): Operation("Delete a stored chat."),
    ("GET", "/v1/chat/completions/{completion}/messages"):
        Operation("List the messages of a stored chat."),
    ("POST", "/v1/completions"):
        Operation("Continue a text, whole or as a stream of events.", CompletionRequest),
    ("GET", "/v1/models"): Operation("List the admitted models that the credential may use."),
    ("GET", "/v1/models/{model}"): Operation("Show one of them."),
    ("GET", "/admin/v1/shares"):
        Operation("List the tenant's open shares, offered by it and to it."),
    ("POST", "/admin/v1/shares"): Operation("Offer a model to another tenant.", Offer, 201),
    ("POST", "/admin/v1/shares/{share}/accept"):
        Operation("Accept an offer of the artifact that was looked at.", Acceptance),
    ("DELETE", "/admin/v1/shares/{share}"): Operation("Take back, decline or leave a share."),
    ("GET", "/admin/v1/tenants"): Operation("List the tenants.", reply=TenantList),
    ("POST", "/admin/v1/tenants"): Operation("Add a tenant.", NewTenant, 201, reply=Tenant),
    ("GET", "/admin/v1/tenants/{tenant}"):
        Operation("Show a tenant and what it has.", reply=TenantSheet),
    ("DELETE", "/admin/v1/tenants/{tenant}"):
        Operation("Remove a tenant; its usage stays.", query=Removal, reply=TenantRemoved),
    ("POST", "/admin/v1/tenants/{tenant}/freeze"):
        Operation("Deny a tenant's keys and stop its engines.", reply=Tenant),
    ("POST", "/admin/v1/tenants/{tenant}/thaw"):
        Operation("Let a frozen tenant in again.", reply=Tenant),
    ("POST", "/admin/v1/tenants/{tenant}/wipe"):
        Operation("Destroy a tenant's data key and keys, and freeze it.", Confirmation,
                  reply=TenantWiped),
    ("PUT", "/admin/v1/tenants/{tenant}/grants/{model}"):
        Operation("Let a tenant use a model, or `*`: every one.", reply=GrantChanged),
    ("DELETE", "/admin/v1/tenants/{tenant}/grants/{model}"):
        Operation("Take a grant back.", reply=GrantChanged),
    ("GET", "/admin/v1/grants"): Operation("List grants.", query=GrantQuery, reply=GrantList),
    ("GET", "/admin/v1/keys"):
        Operation("List keys, without their secrets.", query=KeyQuery, reply=KeyList),
    ("POST", "/admin/v1/keys"): Operation("Make a key.", NewKey, 201, reply=KeyShown),
    ("DELETE", "/admin/v1/keys/{key}"):
        Operation("End a key for good, by its id or prefix.", reply=KeySheet),
    ("POST", "/admin/v1/keys/{key}/rotate"):
        Operation("Give a key a new secret, by its id or prefix.", Overlap, reply=KeyShown),
    ("GET", "/admin/v1/quotas"):
        Operation("List the limits that hold.", query=QuotaQuery, reply=QuotaList),
    ("POST", "/admin/v1/quotas"):
        Operation("Set limits of a tenant, key or model, and take others back.", QuotaChange,
                  reply=QuotaList),
    ("GET", "/admin/v1/usage"):
        Operation("Sum up usage by tenant, key, model or day.", query=UsageQuery, reply=UsageList),
    ("GET", "/admin/v1/audit"):
        Operation("Show the newest audit records.", query=AuditQuery, reply=AuditPage),
    ("GET", "/admin/v1/host"): Operation("Show what the host enforces, as of the start."),
    ("GET", "/admin/v1/queue"): Operation("Show who runs and who waits, among all tenants."),
    ("GET", "/admin/v1/workers"): Operation("Show every engine worker."),
    ("GET", "/admin/v1/openapi.json"): Operation("This document."),
    ("GET", "/admin/v1/docs"):
        Operation("This document as a page to read.", media="text/html; charset=utf-8"),
    ("GET", "/metrics"): Operation("The server's counts, for Prometheus.", media="text/plain"),
    ("GET", "/healthz"): Operation("Say that the process answers."),
    ("GET", "/readyz"): Operation("Say whether requests are taken."),
}  # fmt: skip
"""Every address; tests/style/test_openapi.py compares it with the route table."""
