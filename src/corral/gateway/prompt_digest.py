"""The digest of a prompt that the audit log keeps: under a key of the tenant, never the text.

Trust: gateway [net]. Input: texts of a tenant. Whoever has the log and a guess of the text cannot
check the guess without the tenant's key, which `corral tenant wipe` destroys.
"""

from __future__ import annotations

import hmac
import sqlite3

from corral.core.errors import CorralError
from corral.gateway.ask import Ask
from corral.gateway.stages import Authorised
from corral.gateway.trail import Trail
from corral.tenancy.data_keys import DataKeys


def begin_trail(trail: Trail, authorised: Authorised, keys: DataKeys) -> bool:
    """Queue the record of a request's beginning; return False if its tenant's key is not to be had.

    Args:
        trail: of the request.
        authorised: who asks what of which model.
        keys: of the tenants.
    """
    authenticated = authorised.authenticated
    try:
        key = keys.audit_key(authenticated.principal.tenant)
    except (CorralError, sqlite3.Error, OSError):
        return False
    entry = authorised.entry
    # Not before the lease: what a tenant's limits refuse must not fill the log.
    trail.about(entry.name, entry.identity, prompt_digest(key, authenticated.parsed.ask))
    trail.begin()
    return True


def prompt_digest(key: bytes, ask: Ask) -> str:
    """Return HMAC-SHA256 over all texts of a request, each with its place and its length."""
    parts: list[bytes] = []
    for part in ask.parts():
        for piece in (part.param.encode(), part.text.encode("utf-8", "surrogatepass")):
            parts += (len(piece).to_bytes(8, "big"), piece)
    return hmac.digest(key, b"".join(parts), "sha256").hex()
