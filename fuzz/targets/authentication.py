"""Authentication: any header, token or signed claims are somebody of the configuration, or nobody.

The first byte says what the rest is: an `Authorization` header; the token of one; or, with a
byte 0xff between them, header and claims of a token that is signed with the provider's own key.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from corral.gateway.exchange import Exchange
from corral.tenancy.holder import parse_holder
from corral.tenancy.keyring import IssuerKeys, Keyring
from corral.tenancy.oidc import OidcTokens
from corral.tenancy.oidc_provider import parse_providers
from corral.tenancy.token import parse_token
from fuzz.target import Target

_ISSUER: Final = "https://id.example"
_TABLE: Final = {
    "issuer": _ISSUER, "audience": "corral", "tenant_claim": "org", "role_claim": "role",
    "roles": {"u": "user"}, "algorithms": ["Ed25519", "ES256", "RS256"],
}  # fmt: skip
_PRIVATE: Final = Ed25519PrivateKey.generate()
_KEY: Final = OKPKey.import_key(_PRIVATE)
_END: Final = 4_000_000_000


class _Known:
    """A keyring with one tenant that lives, and the provider's key."""

    def __init__(self) -> None:
        jwks = json.dumps({"keys": [_KEY.as_dict(private=False) | {"kid": "k"}]})
        self._held = IssuerKeys(_ISSUER, jwks, int(time.time()))

    def version(self) -> int:
        return 1

    def grants_of(self, tenant: str) -> frozenset[str] | None:
        return frozenset({"*"}) if tenant == "acme" else None

    def issuer_keys(self, _provider: str) -> IssuerKeys:
        return self._held


_TOKENS: Final = OidcTokens(parse_providers({"p": _TABLE}), cast("Keyring", _Known()), bytes(32))


def check(data: bytes) -> None:
    """Authenticate what the bytes are."""
    kind, rest = data[:1], data[1:]
    if kind == b"h":
        _ask(_bearer([(b"authorization", line) for line in rest.split(b"\n")]), signed=False)
    elif kind == b"s":
        header, _, claims = rest.partition(b"\xff")
        body = _encoded(header) + b"." + _encoded(claims)
        _ask((body + b"." + _encoded(_PRIVATE.sign(body))).decode(), signed=True)
    else:
        _ask(_bearer([(b"authorization", b"Bearer " + rest)]), signed=False)


def _bearer(headers: list[tuple[bytes, bytes]]) -> str:
    exchange = Exchange({"type": "http", "headers": headers}, cast("object", None), None)  # type: ignore[arg-type]
    token = exchange.bearer_token()
    if len(headers) != 1 and token:
        raise AssertionError("a token out of several headers")
    return token


def _ask(token: str, *, signed: bool) -> None:
    parse_token(token)
    principal = _TOKENS.authenticate(token)
    if principal is None:
        return
    if not signed:
        raise AssertionError("somebody without the provider's signature")
    if (principal.tenant, principal.role, principal.credential) != ("acme", "user", "oidc"):
        raise AssertionError("somebody whom the configuration does not name")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    meant = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if claims["iss"] != _ISSUER or "corral" not in meant or claims["exp"] < time.time() - 30:
        raise AssertionError("a token for somebody else")
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"].encode("ascii")) <= 255:
        raise AssertionError("a token of nobody in particular")
    if parse_holder(principal.key_prefix) != principal.key_id:
        raise AssertionError("a user's number has another name")


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


_HEADER: Final = b'{"alg":"Ed25519","kid":"k","typ":"JWT"}'
_CLAIMS: Final = (
    b'{"iss":"https://id.example","sub":"a","aud":["corral"],"exp":%d,"iat":1,"org":"acme",'
    b'"role":["u"]}' % _END
)

TARGET = Target(
    "authentication",
    check,
    (
        b"s" + _HEADER + b"\xff" + _CLAIMS,
        b"s" + _HEADER.replace(b"Ed25519", b"none") + b"\xff" + _CLAIMS,
        b"t" + _encoded(_HEADER) + b"." + _encoded(_CLAIMS) + b"." + _encoded(bytes(64)),
        b"tsk-corral-abcdefgh-" + b"0" * 64,
        b"hBearer sk-corral-abcdefgh-" + b"0" * 64,
        b"hBearer x\nBearer y",
    ),
)
