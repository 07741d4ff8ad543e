"""What the errors of tenancy mean to a caller of the admin API.

Trust: gateway [net]. Texts are public and fixed: nothing of a request, a path or the host is in
them, and what has no line here is a 503 that says nothing.
"""

from __future__ import annotations

from typing import Final

from corral.gateway.errors import REVOKED, ApiError, bad_request

STATE_UNAVAILABLE: Final = ApiError(
    503, "state_unavailable", "the server's records cannot be read or written now", "server_error",
    retry_after_s=5,
)  # fmt: skip
_DENIED: Final = "permission_error"

REFUSALS: Final = {
    one.code: one
    for one in (
        REVOKED,
        bad_request("bad_tenant_name", "that is no name of a tenant"),
        bad_request("bad_key_name", "a key's name has 1 to 64 printable characters", "name"),
        bad_request("bad_role", "there is no such role", "role"),
        bad_request("bad_scope", "a key of this role cannot have that permission", "scopes"),
        bad_request("bad_model_name", "that is no name of a model"),
        bad_request("bad_expiry", "a key's expiry is a moment in the future", "expires_at"),
        bad_request("bad_overlap", "an overlap is 0 to 2592000 seconds", "overlap_s"),
        bad_request("bad_group", "usage is told apart by tenant, key, model, day", "by"),
        bad_request("no_such_quota", "there is no limit of that name", "limits"),
        bad_request("quota_scope", "that limit is not for a tenant, key or model", "limits"),
        bad_request("quota_value", "a limit is out of its range", "limits"),
        bad_request("not_confirmed", "say that it is meant: it cannot be undone"),
        ApiError(
            403, "beyond_own_rights", "this credential cannot give away, or end, rights that it has"
            " not itself", _DENIED,
        ),
        ApiError(404, "no_such_tenant", "there is no such tenant"),
        ApiError(404, "no_such_key", "there is no such key"),
        ApiError(404, "no_such_grant", "there is no such grant"),
        ApiError(409, "tenant_exists", "there is a tenant of that name"),
        ApiError(
            409, "tenant_name_used", "a tenant of that name was removed; say reuse to take it"
        ),
        ApiError(409, "tenant_in_use", "it has live keys or requests on record; say sure"),
        ApiError(409, "too_many_keys", "the tenant has as many live keys as it may; end some"),
        ApiError(409, "key_not_active", "a key that ended gets no new secret"),
        ApiError(
            503, "wipe_incomplete", "the tenant is frozen, and not all of it is erased: wipe again",
            "server_error", retry_after_s=5,
        ),
    )
}  # fmt: skip


def refusal_of(code: str) -> ApiError:
    """Return what an error's code means for the caller."""
    return REFUSALS.get(code, STATE_UNAVAILABLE)
