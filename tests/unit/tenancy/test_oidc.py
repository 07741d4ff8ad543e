"""Tokens that somebody forged, stole or kept are nobody, beside a good one that is somebody."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from sqlalchemy import Engine, update

from corral.core.errors import ConfigError
from corral.state.database import writing
from corral.state.tables import issuer_keys
from corral.tenancy.holder import holder_name
from corral.tenancy.issuer_keys import put_issuer_keys
from corral.tenancy.keyring import Keyring
from corral.tenancy.oidc import OidcTokens, parse_key_set
from corral.tenancy.oidc_provider import Provider, parse_providers
from corral.tenancy.permissions import Permission
from corral.tenancy.tenants import add_tenant, freeze_tenant

ISSUER = "https://id.example"
TABLE: dict[str, Any] = {
    "issuer": ISSUER, "audience": "corral", "tenant_claim": "org", "role_claim": "role",
    "roles": {"u": "user", "a": "tenant-admin", "op": "operator"},
    "algorithms": ["RS256", "ES256", "Ed25519"],
}  # fmt: skip
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec", "alg": "ES256"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
MISUSED = RSAKey.generate_key(2048, {"kid": "enc"})
NOT_FOR_SIGNING = RSAKey.import_key(MISUSED.as_dict(private=True) | {"use": "enc"})
KEYS = (RSA, EC, ED, NOT_FOR_SIGNING)


def key_set(*keys: Any) -> str:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]})


@pytest.fixture
def provider() -> Provider:
    return parse_providers({"p": TABLE})[0]


@pytest.fixture
def keyring(database: Path, engine: Engine, pepper: bytes, provider: Provider) -> Iterator[Keyring]:
    put_issuer_keys(engine, provider, key_set(*KEYS))
    keyring = Keyring(database, pepper)
    keyring.take_also(OidcTokens((provider,), keyring, pepper).authenticate)
    yield keyring
    keyring.close()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    plain = {"iss": ISSUER, "aud": "corral", "exp": now + 300, "iat": now, "org": "acme",
             "role": "u", "sub": "alice"}  # fmt: skip
    return {name: value for name, value in (plain | changes).items() if value is not None}


def signed(key: Any = RSA, alg: str = "RS256", *, header: dict[str, Any] | None = None,
           **changes: Any) -> str:  # fmt: skip
    head = {"alg": alg, "kid": key.kid, **(header or {})}
    return jwt.encode(
        {name: value for name, value in head.items() if value is not None},
        claims(**changes), key, algorithms=[alg],
    )  # fmt: skip


def by_hand(header: dict[str, Any], body: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(body).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.claim("OIDC-01")
@pytest.mark.parametrize(
    ("key", "alg"), [(RSA, "RS256"), (EC, "ES256"), (ED, "Ed25519")], ids=["rsa", "ec", "ed"]
)
def test_a_good_token_is_somebody(keyring: Keyring, key: Any, alg: str) -> None:
    principal = keyring.authenticate(signed(key, alg, aud=["other", "corral"], role=["u", "x"]))
    assert principal is not None
    assert (principal.tenant, principal.role, principal.credential) == ("acme", "user", "oidc")
    assert holder_name(principal.key_id) == principal.key_prefix


NOW = int(time.time())
ATTACKS: dict[str, Any] = {
    "no algorithm": lambda: by_hand({"alg": "none", "kid": "rsa"}, claims()),
    "no algorithm, with a signature": lambda: by_hand(
        {"alg": "none", "kid": "rsa"}, claims(), b"x"
    ),
    "the public key as an HMAC secret": lambda: jwt.encode(
        {"alg": "HS256", "kid": "rsa"},
        claims(),
        OctKey.import_key(base64.urlsafe_b64encode(RSA.as_pem(private=False)).decode()),
        algorithms=["HS256"],
    ),
    "an algorithm off the list": lambda: signed(alg="PS256"),
    "another key under the same id": lambda: signed(OTHER_RSA),
    "an unknown id": lambda: signed(header={"kid": "nobody"}),
    "no id among several keys": lambda: signed(header={"kid": None}),
    "the id of a key of another type": lambda: signed(header={"kid": "ec"}),
    "a key that is not for signing": lambda: signed(MISUSED),
    "an id that is a path": lambda: signed(header={"kid": "../../dev/null"}),
    "jku": lambda: signed(OTHER_RSA, header={"jku": "https://evil.example/jwks"}),
    "jku, though signed well": lambda: signed(header={"jku": "https://evil.example/jwks"}),
    "jwk": lambda: signed(OTHER_RSA, header={"jwk": OTHER_RSA.as_dict(private=False)}),
    "x5u": lambda: signed(OTHER_RSA, header={"x5u": "https://evil.example/c"}),
    "a type of its own": lambda: signed(header={"typ": "logout+jwt"}),
    "another audience": lambda: signed(aud="other"),
    "other audiences": lambda: signed(aud=["other", "corral2"]),
    "no audience": lambda: signed(aud=None),
    "another issuer": lambda: signed(iss="https://evil.example"),
    "an issuer with a slash more": lambda: signed(iss=ISSUER + "/"),
    "an issuer that is a list": lambda: signed(iss=[ISSUER]),
    "no issuer": lambda: signed(iss=None),
    "expired": lambda: signed(exp=NOW - 60),
    "no end": lambda: signed(exp=None),
    "an end that is no number": lambda: signed(exp=float("nan")),
    "an end that never comes": lambda: signed(exp=float("inf")),
    "an end in words": lambda: signed(exp="tomorrow"),
    "not yet": lambda: signed(nbf=NOW + 3600),
    "issued in the future": lambda: signed(iat=NOW + 3600),
    "a tenant that is not there": lambda: signed(org="nobody"),
    "a frozen tenant": lambda: signed(org="cold"),
    "every tenant": lambda: signed(org="*"),
    "two tenants": lambda: signed(org=["acme", "other"]),
    "no tenant": lambda: signed(org=None),
    "an unmapped role": lambda: signed(role="operator"),
    "two roles": lambda: signed(role=["u", "op"]),
    "no role": lambda: signed(role=None),
    "a role that is a number": lambda: signed(role=[1, {}]),
    "claims that are a list": lambda: by_hand({"alg": "RS256"}, [1]),  # type: ignore[arg-type]
    "no user": lambda: signed(sub=None),
    "an empty user": lambda: signed(sub=""),
    "a user that is a number": lambda: signed(sub=7),
    "a user that is null": lambda: jwt.encode(
        {"alg": "RS256", "kid": "rsa"}, claims() | {"sub": None}, RSA
    ),
    "a user that is a list": lambda: signed(sub=["alice"]),
    "a user of 256 characters": lambda: signed(sub="a" * 256),
    "a user beyond ASCII": lambda: signed(sub="\u0430lice"),
    "a signature cut off": lambda: signed()[:-20],
    "a body exchanged": lambda: ".".join(
        (signed().split(".")[0], signed(role="op").split(".")[1], signed().split(".")[2])
    ),
    "four parts": lambda: signed() + ".x",
    "too long": lambda: signed(pad="x" * 9000),
}


@pytest.mark.claim("OIDC-01")
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_nobody(keyring: Keyring, database: Path, attack: str) -> None:
    if "frozen" in attack:
        add_tenant(database, "cold")
        freeze_tenant(database, "cold")
    assert keyring.authenticate(ATTACKS[attack]()) is None
    assert keyring.authenticate(signed()) is not None  # the control


@pytest.mark.claim("OIDC-04")
def test_a_user_is_one_number_by_issuer_and_sub(
    keyring: Keyring, engine: Engine, pepper: bytes, provider: Provider
) -> None:
    other = parse_providers({"q": TABLE | {"issuer": "https://other.example"}})[0]
    put_issuer_keys(engine, other, key_set(RSA))

    def number(pepper: bytes = pepper, **changes: Any) -> int:
        principal = OidcTokens((provider, other), keyring, pepper).authenticate(signed(**changes))
        assert principal is not None
        return principal.key_id

    again = {number(), number(), number(role="a"), number(exp=NOW + 3000), number(aud=["corral"])}
    assert len(again) == 1, "the same user, whatever else the token says, after each start"
    subjects = ("alice", "Alice", "alice ", "alic", "a" * 255, "a" * 254 + "b", "\0", "\0\0")
    users = [number(sub=one) for one in subjects]
    users += [number(iss=other.issuer, sub=one) for one in subjects]
    assert len({*users, number(bytes(32))}) == 2 * len(subjects) + 1
    assert again < {*users}


@pytest.mark.claim("OIDC-02")
def test_what_is_mapped_is_mapped_and_nothing_else(keyring: Keyring, pepper: bytes) -> None:
    mapped = parse_providers({"p": TABLE | {"tenants": {"R&D": "acme", "x": "nobody"}}})[0]
    tokens = OidcTokens((mapped,), keyring, pepper)
    assert tokens.authenticate(signed(org="R&D")) is not None
    assert tokens.authenticate(signed(org="acme")) is None
    assert tokens.authenticate(signed(org="x")) is None
    operator = keyring.authenticate(signed(role="op"))
    assert operator is not None
    assert operator.may(Permission.TENANT_FREEZE)
    assert not operator.may(Permission.TENANT_WIPE), "what cannot be undone is not for OIDC"


@pytest.mark.claim("OIDC-02")
def test_time_and_changes_act_on_tokens_that_were_seen(
    keyring: Keyring,
    database: Path,
    engine: Engine,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = signed()
    seen = keyring.authenticate(token)
    assert seen is not None
    assert seen.expires_at is not None
    with monkeypatch.context() as later:
        later.setattr("time.time", lambda: seen.expires_at)
        assert keyring.authenticate(token) is None
    freeze_tenant(database, "acme")
    assert keyring.authenticate(token) is None
    freeze_tenant(database, "acme", frozen=False)
    assert keyring.authenticate(token) is not None
    put_issuer_keys(engine, provider, key_set(OTHER_RSA, EC))
    assert keyring.authenticate(token) is None, "its key was taken back"
    assert keyring.authenticate(signed(OTHER_RSA)) is not None


@pytest.mark.claim("OIDC-03")
@pytest.mark.parametrize(
    "change",
    [{"fetched_at": NOW - 86401}, {"fetched_at": NOW + 9999}, {"issuer": "https://old.example"},
     {"jwks": "{}"}, {"jwks": "["}, {"name": "q"}],
    ids=["stale", "of the future", "of another issuer", "empty", "broken", "of another provider"],
)  # fmt: skip
def test_keys_that_do_not_count_let_nobody_in(
    keyring: Keyring, engine: Engine, change: dict[str, Any]
) -> None:
    assert keyring.authenticate(signed()) is not None
    with writing(engine) as connection:
        connection.execute(update(issuer_keys).values(**change))
    assert keyring.authenticate(signed()) is None


@pytest.mark.claim("OIDC-03")
def test_keys_of_one_id_are_none_of_them() -> None:
    assert set(parse_key_set(key_set(RSA, OTHER_RSA, EC))) == {"ec"}
    assert set(parse_key_set(key_set(RSA, EC))) == {"rsa", "ec"}


@pytest.mark.claim("OIDC-01")
@given(st.binary(max_size=40), st.binary(max_size=60), st.binary(max_size=40))
@settings(deadline=None)
def test_any_bytes_are_nobody(header: bytes, body: bytes, signature: bytes) -> None:
    tokens = OidcTokens(parse_providers({"p": TABLE}), _Known(), bytes(32))  # type: ignore[arg-type]
    parts = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in
             (header, body, signature))  # fmt: skip
    assert tokens.authenticate(".".join(parts)) is None


class _Known:
    """A keyring whose every tenant lives."""

    def version(self) -> int:
        return 1

    def grants_of(self, _tenant: str) -> frozenset[str]:
        return frozenset({"*"})

    def issuer_keys(self, _name: str) -> None:
        return None


@pytest.mark.parametrize(
    "change",
    [{"issuer": "http://id.example"}, {"issuer": "https://id.example?x"}, {"audience": ""},
     {"roles": {}}, {"roles": {"u": "root"}}, {"algorithms": ["HS256"]}, {"algorithms": ["none"]},
     {"algorithms": "RS256"}, {"skew_s": 301}, {"skew_s": True}, {"tenants": {"a": 1}}, {"x": "y"},
     {"roles": None}],
    ids=str,
)  # fmt: skip
def test_a_configuration_that_could_let_somebody_in_by_mistake(change: dict[str, Any]) -> None:
    table = {name: value for name, value in (TABLE | change).items() if value is not None}
    with pytest.raises(ConfigError) as refused:
        parse_providers({"p": table})
    assert refused.value.code == "config_value"


def test_two_providers_of_one_issuer_are_refused() -> None:
    with pytest.raises(ConfigError):
        parse_providers({"p": TABLE, "q": TABLE})
