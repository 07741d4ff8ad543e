"""Identifiers with one spelling each: tenants, models, digests, workers.

Trust: any zone. Everything that is used in a path, a process title or a table passes here first.
Input: untrusted strings, bounded by the patterns below.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, NewType

from corral.core.errors import CorralError

TenantName = NewType("TenantName", str)
ModelName = NewType("ModelName", str)
Digest = NewType("Digest", str)
WorkerId = NewType("WorkerId", int)

_TENANT: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_MODEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,94}[A-Za-z0-9])?")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def parse_tenant_name(text: str) -> TenantName:
    """Return `text` as a tenant name: 1 to 32 of a-z, 0-9 and inner hyphens (RFC 1123 label).

    Raises:
        CorralError: code `bad_tenant_name`.
    """
    if not _TENANT.fullmatch(text):
        raise CorralError(
            "bad_tenant_name",
            "a tenant name has 1 to 32 characters of a-z, 0-9 and '-', and starts and ends "
            "with a letter or a digit",
        )
    return TenantName(text)


def parse_model_name(text: str) -> ModelName:
    """Return `text` as a model name: 1 to 96 of letters, digits, '.', '_', ':' and '-'.

    Raises:
        CorralError: code `bad_model_name`.
    """
    if not _MODEL.fullmatch(text) or ".." in text:
        raise CorralError(
            "bad_model_name",
            "a model name has 1 to 96 letters, digits, '.', '_', ':' or '-', starts and ends "
            "with a letter or a digit, and has no '..'",
        )
    return ModelName(text)


def parse_digest(text: str) -> Digest:
    """Return `text` as a SHA-256 digest: 64 lower-case hexadecimal digits.

    A leading `sha256:` is accepted and dropped.

    Raises:
        CorralError: code `bad_digest`.
    """
    bare = text.removeprefix("sha256:").lower()
    if not _DIGEST.fullmatch(bare):
        raise CorralError("bad_digest", "a sha256 digest has 64 hexadecimal digits")
    return Digest(bare)


def pair_digest(model: Digest, laid: Digest, how: str) -> Digest:
    """Return what names a model with an adapter, `how` thousandths strong, or a `projector`."""
    text = f"corral pair v1\n{model}\n{laid}\n{how}"
    return Digest(hashlib.sha256(text.encode()).hexdigest())
