"""OIDC providers as the configuration names them: who signs, for whom, and who becomes what here.

Trust: gateway [net] and operator side; pure. Input: the operator's configuration, checked: what is
missing or unknown is an error, never a default that lets somebody in.

    [identity.oidc.corp]
    issuer = "https://id.example.com"        as in the token's `iss`, byte for byte
    audience = "corral"                      must be in the token's `aud`
    tenant_claim = "department"              whose value is a tenant's name, or a key of `tenants`
    role_claim = "groups"                    a string or a list of strings: keys of `roles`
    tenants = { "R&D" = "research" }         if it is there, only these values are tenants
    roles = { "corral-users" = "user" }      only these values are roles
    algorithms = ["RS256"]                   asymmetric ones only; default RS256, ES256
    hosts = ["keys.example.com"]             where keys may come from besides the issuer's host
    skew_s = 30                              how much clocks may differ
    keys_max_age_s = 86400                   older keys let nobody in
    refresh_s = 3600                         how often `corral up` gets the keys anew
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from corral.core.errors import ConfigError
from corral.tenancy.permissions import ROLES, Role

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519",
)  # fmt: skip
"""RFC 7518 and 9864: signatures by a private key that the server never has. No `none`, no HMAC."""
_TEXTS: Final = frozenset({"issuer", "audience", "tenant_claim", "role_claim"})
_LISTS: Final = frozenset({"algorithms", "hosts"})
_TABLES: Final = frozenset({"tenants", "roles"})
_NUMBERS: Final = {
    "skew_s": (0, 300), "keys_max_age_s": (300, 7 * 86400), "refresh_s": (60, 86400)
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider; the module's text says what each field is."""

    name: str
    issuer: str
    audience: str
    tenant_claim: str
    role_claim: str
    roles: Mapping[str, Role]
    tenants: Mapping[str, str] | None = None
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    hosts: tuple[str, ...] = ()
    skew_s: int = 30
    keys_max_age_s: int = 86400
    refresh_s: int = 3600


def parse_providers(tables: Mapping[str, Mapping[str, Any]]) -> tuple[Provider, ...]:
    """Return the providers of `identity.oidc`.

    Raises:
        ConfigError: code `config_value`.
    """
    found = tuple(_provider(name, dict(table)) for name, table in tables.items())
    if len({one.issuer for one in found}) != len(found):
        raise ConfigError("config_value", "identity.oidc: two providers have the same issuer")
    return found


def _provider(name: str, table: dict[str, Any]) -> Provider:
    def refused(why: str) -> ConfigError:
        return ConfigError("config_value", f"identity.oidc.{name}: {why}")

    for key, value in table.items():
        if key in _NUMBERS:
            low, high = _NUMBERS[key]
            good = type(value) is int and low <= value <= high
        elif key in _LISTS:
            good = isinstance(value, list) and all(isinstance(one, str) for one in value)
            table[key] = tuple(value) if good else ()
        elif key in _TABLES:
            good = isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
        else:
            good = key in _TEXTS and isinstance(value, str) and bool(value)
        if not good:
            raise refused(f"{key} cannot be used")
    missing = sorted((_TEXTS | {"roles"}) - set(table))
    if missing:
        raise refused(f"{missing[0]} is missing")
    parts = urlsplit(table["issuer"])
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise refused("issuer is an https URL")
    if not table["roles"] or set(table["roles"].values()) - set(ROLES):
        raise refused(f"roles gives each value one of: {', '.join(ROLES)}")
    if not set(table.get("algorithms", ("RS256",))) <= set(ALGORITHMS):
        raise refused(f"algorithms are of: {', '.join(ALGORITHMS)}")
    return Provider(name=name, **table)
