"""Certificates that corral issues by a whole gateway, and what its CA's key is good for."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

import httpx2
import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from corral.pki.authority import read_key
from corral.pki.client_authority import client_ca_file, client_ca_key_file
from corral.tenancy.certificate_table import drop_client_trust, map_certificate, revoke_certificate
from corral.tenancy.issued_certificate import issue_certificate
from tests.support.client_ca import SERVER, Signed
from tests.unit.gateway.test_mutual_tls import REFUSED, URI, Yard, ask, yard

__all__ = ["yard"]


def issued(yard: Yard, name: str, *, tenant: str = "acme") -> Signed:
    place = yard.folder / name
    issue_certificate(yard.served.home, yard.engine, place, tenant=tenant, role="user", days=7)
    return read(place)


def read(place: Path) -> Signed:
    key = read_key(place)
    return Signed(x509.load_pem_x509_certificate(place.read_bytes()), key)


def own_ca(yard: Yard) -> Signed:
    home = yard.served.home
    certificate = x509.load_pem_x509_certificate(client_ca_file(home).read_bytes())
    return Signed(certificate, read_key(client_ca_key_file(home)))


@pytest.mark.claim("MTLS-09")
def test_a_file_is_all_that_a_client_needs_until_it_is_revoked(yard: Yard) -> None:
    yard.trust(yard.ca.revocations(), required=True)
    others = yard.ca.client(uri=URI)
    assert yard.status(others) == 200
    issued(yard, "alice.pem")
    context = yard.served.trust()
    context.load_cert_chain(yard.folder / "alice.pem")
    alice, bolt = read(yard.folder / "alice.pem"), issued(yard, "bolt.pem", tenant="bolt")
    assert [yard.status(one) for one in (alice, bolt, others)] == [200] * 3, "beside the other CA"
    with pytest.raises(REFUSED):
        yard.status(None, authorization=yard.bearer("acme"))  # required, as it was
    assert yard.status(bolt, authorization=yard.bearer("acme")) == 401, "of another tenant"
    with yard.connect(alice) as sock:
        assert ask(sock) == 200
        revoke_certificate(yard.engine, alice.sha256)
        assert ask(sock) == 401, "its CRL lists nothing, but its row is looked at"
    assert yard.status(bolt) == 200
    drop_client_trust(yard.engine)
    assert yard.status(None, authorization=yard.bearer("acme")) == 200
    assert yard.status(bolt) == 401


def test_openais_client_by_the_file_alone(yard: Yard) -> None:
    issued(yard, "alice.pem")
    trust = yard.served.trust()
    trust.load_cert_chain(yard.folder / "alice.pem")
    with openai.OpenAI(
        base_url=yard.served.url + "/v1", api_key="none", max_retries=0,
        http_client=httpx2.Client(verify=trust),
    ) as client:  # fmt: skip
        found = client.models.list(extra_headers={"Authorization": openai.Omit()})
        assert [model.id for model in found] == ["tiny"]
        with pytest.raises(openai.AuthenticationError):
            client.models.list()  # a bad key beside a good certificate


@pytest.mark.claim("MTLS-09")
def test_who_stole_the_cas_key_is_nobody_and_takes_no_name_of_another_cas(yard: Yard) -> None:
    good = issued(yard, "alice.pem")
    stolen = own_ca(yard)
    unmapped = stolen.client(uri="corral://tenant/acme/00")
    assert yard.status(unmapped) == 401, "what was not issued by us stands for nobody"
    assert yard.status(yard.ca.client(uri=URI)) == 200, "the control: a row has this URI"
    attacks = {
        "a URI that a row has": stolen.client(uri=URI),
        "a host that only looks like it": stolen.client(uri="corral://tenant.evil.example/acme"),
        "a CA of its own": stolen.sub_ca().client(uri="corral://tenant/acme/00"),
        "a server's": stolen.client(purposes=SERVER),
    }
    for name, attack in attacks.items():
        with pytest.raises(REFUSED):
            yard.status(attack)
        assert name
    map_certificate(yard.engine, tenant="acme", role="user", sha256=unmapped.sha256)
    assert yard.status(unmapped) == 200, "only the row was missing"
    assert yard.status(good) == 200


@pytest.mark.claim("MTLS-09")
def test_its_ca_cannot_pass_for_a_server(yard: Yard) -> None:
    issued(yard, "alice.pem")
    stolen = own_ca(yard)
    assert isinstance(stolen.key, ec.EllipticCurvePrivateKey)
    limits = stolen.certificate.extensions
    assert limits.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    forged = stolen.client(purposes=SERVER, ends_in=timedelta(days=1), dns="localhost")
    for ca, wanted in ((yard.ca.pem, None), (stolen.pem, ssl.SSLCertVerificationError)):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        maker = yard.ca.client(purposes=SERVER, dns="localhost") if wanted is None else forged
        server.load_cert_chain(maker.write(yard.folder))
        client = ssl.create_default_context(cadata=ca)
        assert handshake(server, client) is wanted


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> type[Exception] | None:
    """Return what stops a client that looks for `localhost`, or None."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                return type(error)
    return None
