"""Authenticate a JSON Web Token of an OIDC provider, by keys that the operator's side brought here.

Trust: gateway [net]. Must never fetch anything (it cannot) and never take a key, an address or an
algorithm from the token: `jku`, `jwk`, `x5u` and `x5c` are refused, not ignored.
Input: hostile text, length and pattern checked first. RFC 7515, 7519, 8725; OpenID Connect Core.

 1 form: three parts of base64url, 8 KiB at most     2 header: only known fields, an algorithm of
 the list     3 the provider of its `iss`, which is only looked at     4 that one's keys: from the
 same issuer, and not too old     5 the one key of its `kid`, or the only one there is, of the
 algorithm     6 signature     7 iss, aud, exp, nbf, iat, within the skew     8 its `sub`, which
 is only a number from here on (`tenancy.oidc_user`)     9 its claims make exactly one tenant,
 which lives, and exactly one role; else nobody
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key

from corral.core.ids import TenantName
from corral.tenancy.holder import holder_name
from corral.tenancy.keyring import Keyring
from corral.tenancy.oidc_provider import Provider
from corral.tenancy.oidc_user import parse_subject, user_key, user_number
from corral.tenancy.permissions import Role
from corral.tenancy.principal import Principal

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,700}\.[A-Za-z0-9_-]{1,7000}\.[A-Za-z0-9_-]{1,1400}")
_TOKEN_CHARACTERS: Final = 8192
_HEADER: Final = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
_TYPES: Final = frozenset({"JWT", "jwt", "at+jwt", "application/at+jwt"})
_KNOWN_TOKENS: Final = 4096
_KEY_FIELDS: Final = frozenset({"kty", "n", "e", "crv", "x", "y", "kid", "alg", "use"})
_FAMILY: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_BROKEN: Final = (
    JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError
)  # fmt: skip
"""What a library raises at hostile input: no matter which, it is nobody."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """Who a token is for, as long as nothing changed; `name` is of the user's number."""

    tenant: TenantName
    role: Role
    ends_at: int
    user: int
    name: str


class OidcTokens:
    """Every token that was verified since the last change, so that each is verified once."""

    def __init__(self, providers: tuple[Provider, ...], keyring: Keyring, pepper: bytes) -> None:
        self._user_key = user_key(pepper)
        self._providers = {one.issuer: one for one in providers}
        self._keyring = keyring
        self._version: int | None = None
        self._verified: dict[bytes, _Verified] = {}
        self._keys: dict[str, Mapping[str, Key]] = {}

    def authenticate(self, token: str) -> Principal | None:
        """Return who holds `token`, or None; never raises for what is in it."""
        if len(token) > _TOKEN_CHARACTERS or not _TOKEN.fullmatch(token):
            return None
        version = self._keyring.version()
        if version is None:
            return None
        if version != self._version or len(self._verified) >= _KNOWN_TOKENS:
            self._version, self._verified, self._keys = version, {}, {}
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is None:
            try:
                known = self._verify(token)
            except _BROKEN:
                return None
            if known is None:
                return None
            self._verified[digest] = known
        models = self._keyring.grants_of(known.tenant)
        if models is None or time.time() >= known.ends_at:
            return None
        return Principal(
            key_id=known.user,
            key_prefix=known.name,
            tenant=known.tenant,
            role=known.role,
            models=models,
            expires_at=known.ends_at,
            credential="oidc",
        )

    def _verify(self, token: str) -> _Verified | None:
        unproved = jws.extract_compact(token.encode())
        header = unproved.headers()
        kid, algorithm = header.get("kid"), header.get("alg")
        if not set(header) <= _HEADER or header.get("typ", "JWT") not in _TYPES:
            return None
        provider = self._providers.get(json.loads(unproved.payload or b"")["iss"])
        if provider is None or algorithm not in provider.algorithms:
            return None
        held = self._keyring.issuer_keys(provider.name)
        now = int(time.time())
        if held is None or held.issuer != provider.issuer:
            return None
        stale_at = held.fetched_at + provider.keys_max_age_s
        if now >= stale_at or held.fetched_at > now + provider.skew_s:
            return None
        if provider.name not in self._keys:
            self._keys[provider.name] = parse_key_set(held.jwks)
        keys = self._keys[provider.name]
        key = keys.get(kid) if isinstance(kid, str) else None
        if kid is None and len(keys) == 1:
            (key,) = keys.values()
        if key is None or key.key_type != _FAMILY[algorithm[:2]]:
            return None
        if key.get("alg") not in {None, algorithm}:
            return None
        claims = jwt.decode(token, key, algorithms=[algorithm]).claims
        jwt.JWTClaimsRegistry(
            now=now,
            leeway=provider.skew_s,
            iss={"essential": True, "value": provider.issuer},
            aud={"essential": True, "value": provider.audience},
            exp={"essential": True},
        ).validate(claims)
        times = [claims[name] for name in ("exp", "nbf", "iat") if name in claims]
        if not all(type(one) in {int, float} and math.isfinite(one) for one in times):
            return None
        ends_at = min(int(claims["exp"]) + provider.skew_s, stale_at)
        subject = parse_subject(claims.get("sub"))
        placed = _placed(claims, provider)
        if subject is None or placed is None:
            return None
        user = user_number(self._user_key, provider.issuer, subject)
        return _Verified(*placed, ends_at, user, holder_name(user))


def parse_key_set(text: str) -> Mapping[str, Key]:
    """Return the usable keys of a JWKS document by their id (RFC 7517).

    Left out: keys without an id, of an id that another has too, for another use than signatures,
    and symmetric ones. Private parts, which nobody should have published, are not kept.

    Raises:
        ValueError: it is no key set.
    """
    document = json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("no key set")  # noqa: TRY004 - of a document, not of an argument
    rows = [row for row in document["keys"] if isinstance(row, dict)]
    named = [row.get("kid") for row in rows]
    found = {}
    for row in rows:
        kid = row.get("kid")
        fit = row.get("kty") in _FAMILY.values() and row.get("use", "sig") == "sig"
        if not fit or not isinstance(kid, str) or named.count(kid) != 1:
            continue
        try:
            found[kid] = import_key({k: v for k, v in row.items() if k in _KEY_FIELDS})
        except _BROKEN:
            continue
    return found


def _placed(claims: Mapping[str, Any], provider: Provider) -> tuple[TenantName, Role] | None:
    said = claims.get(provider.tenant_claim)
    if not isinstance(said, str):
        return None
    tenant = said if provider.tenants is None else provider.tenants.get(said)
    groups = claims.get(provider.role_claim)
    words = [groups] if isinstance(groups, str) else groups
    if not isinstance(words, list):
        return None
    roles = {provider.roles[one] for one in words if isinstance(one, str) and one in provider.roles}
    if tenant is None or len(roles) != 1:
        return None
    return TenantName(tenant), roles.pop()
