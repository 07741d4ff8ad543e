"""The table of client certificates: what the operator may put in, and whom it makes of one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from corral.core.errors import CorralError
from corral.state.database import writing
from corral.state.tables import client_certificates
from corral.tenancy.certificate import UNUSABLE, ClientCertificate, Credential
from corral.tenancy.certificate import parse_client_certificate as parse
from corral.tenancy.certificate_table import (
    check_client_trust,
    fingerprint_of,
    list_certificates,
    map_certificate,
    put_client_trust,
    revoke_certificate,
)
from corral.tenancy.keyring import Keyring
from corral.tenancy.tenants import add_tenant, remove_tenant
from tests.support.client_ca import Signed, authority

CA = authority()
BAD_LIST = "-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----\n"
A, B = "spiffe://x/a", "spiffe://x/b"


@pytest.fixture
def keyring(database: Path, engine: Engine, pepper: bytes) -> Keyring:
    put_client_trust(engine, CA.pem, required=False)
    return Keyring(database, pepper)


def shown(keyring: Keyring, *uris: str, sha256: str = "1" * 64) -> str | None:
    """Return the tenant of a certificate with these names."""
    trust = keyring.client_trust()
    assert trust is not None
    one = ClientCertificate(sha256, uris, int(time.time()) + 60, trust.digest)
    principal = keyring.identify(Credential(None, one))
    return None if principal is None else principal.tenant


@pytest.mark.claim("MTLS-03")
def test_the_fingerprint_goes_before_the_uri_and_two_uris_are_nobody(
    database: Path, engine: Engine, keyring: Keyring
) -> None:
    add_tenant(database, "bolt")
    map_certificate(engine, tenant="acme", role="user", uri=A)
    map_certificate(engine, tenant="bolt", role="user", uri=B)
    assert (shown(keyring, A), shown(keyring, B)) == ("acme", "bolt"), "the control"
    assert (shown(keyring, A, B), shown(keyring), shown(keyring, A + "/c")) == (None, None, None)
    map_certificate(engine, tenant="bolt", role="user", sha256="1" * 64)
    assert (shown(keyring, A), shown(keyring, A, sha256="2" * 64)) == ("bolt", "acme")
    revoke_certificate(engine, "1" * 64)
    assert shown(keyring, A) is None, "a revoked one has no URI to fall back on"


@pytest.mark.claim("MTLS-03")
def test_what_stood_for_a_removed_tenant_stays_nobody(
    database: Path, engine: Engine, keyring: Keyring
) -> None:
    map_certificate(engine, tenant="acme", role="operator", uri=A)
    assert shown(keyring, A) == "acme"
    remove_tenant(database, "acme", sure=True)
    add_tenant(database, "acme", reuse=True)
    assert shown(keyring, A) is None
    assert map_certificate(engine, tenant="acme", role="user", uri=A).id == 2, "no id comes twice"


@pytest.mark.claim("MTLS-03")
def test_a_row_that_makes_no_sense_lets_nobody_in(engine: Engine, keyring: Keyring) -> None:
    map_certificate(engine, tenant="acme", role="user", uri=A)
    assert shown(keyring, A) == "acme"
    trust = keyring.client_trust()
    with writing(engine) as connection:
        connection.execute(update(client_certificates).values(role="root"))
    assert trust is not None
    one = ClientCertificate("1" * 64, (A,), int(time.time()) + 60, trust.digest)
    assert keyring.identify(Credential(None, one)) is None
    assert keyring.identify(Credential(None, UNUSABLE)) is None


def test_what_cannot_be_put_in(engine: Engine, tmp_path: Path) -> None:
    refused = {
        "no_such_tenant": {"tenant": "nobody", "uri": A},
        "bad_role": {"tenant": "acme", "uri": A, "role": "root"},
        "bad_certificate": {"tenant": "acme", "uri": "not a uri"},
        "certificate_mapped": {"tenant": "acme", "sha256": "a" * 64},
        "certificate_revoked": {"tenant": "acme", "sha256": "b" * 64},
    }
    map_certificate(engine, tenant="acme", role="user", sha256="AA:" * 31 + "AA")
    revoke_certificate(engine, "b" * 64)
    for code, words in refused.items():
        with pytest.raises(CorralError) as caught:
            map_certificate(engine, **{"role": "user", **words})  # type: ignore[arg-type]
        assert caught.value.code == code
    for words in ({}, {"uri": A, "sha256": "c" * 64}, {"sha256": "c"}):
        with pytest.raises(CorralError, match=r"URI|SHA-256"):
            map_certificate(engine, tenant="acme", role="user", **words)
    with pytest.raises(CorralError) as caught:
        revoke_certificate(engine, "77")
    assert caught.value.code == "no_such_certificate"
    assert [(row.tenant, row.revoked_at is None) for row in list_certificates(engine)] == [
        ("acme", True), (None, False),
    ]  # fmt: skip
    leaf = CA.client()
    assert fingerprint_of(leaf.pem.encode()) == leaf.sha256
    with pytest.raises(CorralError):
        fingerprint_of(b"no")


@pytest.mark.parametrize(
    "pem",
    [
        "", "rubbish", CA.client().pem, CA.pem + CA.client().pem, CA.pem + BAD_LIST,
        CA.pem + " " * (1 << 20),
    ],
    ids=["empty", "rubbish", "a leaf", "both", "a bad list", "long"],
)  # fmt: skip
def test_only_authorities_are_authorities(pem: str) -> None:
    with pytest.raises(CorralError) as caught:
        check_client_trust(pem)
    assert caught.value.code == "client_ca_unusable"
    assert check_client_trust(CA.pem + CA.revocations()) == 1


def test_what_is_no_certificate_is_unusable() -> None:
    for der in (b"", b"rubbish", b"\x30" * 100):
        assert parse(der, "t") == UNUSABLE
    good: Signed = CA.client(uri=A)
    from cryptography.hazmat.primitives.serialization import Encoding

    one = parse(good.certificate.public_bytes(Encoding.DER), "t")
    assert (one.uris, one.sha256, one.trust) == ((A,), good.sha256, "t")
