"""Client certificates by a whole gateway in real TLS: who gets in, and every way not to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine

from corral.audit.reading import read_records
from corral.audit.selection import Wanted
from corral.state.database import open_database
from corral.tenancy.certificate_table import (
    drop_client_trust,
    map_certificate,
    put_client_trust,
    revoke_certificate,
)
from corral.tenancy.grants import grant_model
from corral.tenancy.keys import create_key
from corral.tenancy.tenants import add_tenant, freeze_tenant
from tests.support.client_ca import SERVER, Signed, authority
from tests.unit.gateway.conftest import Served

URI = "spiffe://corp.example/acme"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
REFUSED = (ssl.SSLError, ConnectionError)


class Yard:
    """A gateway that takes certificates of one authority, those of `URI` for acme."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.folder = served, folder
        self.ca = authority()
        self.engine: Engine = open_database(served.home.database)
        put_client_trust(self.engine, self.ca.pem, required=False)
        map_certificate(self.engine, tenant="acme", role="user", uri=URI)
        add_tenant(self.served.home.database, "bolt")
        pepper = served.home.pepper.read_bytes()
        served.keys["bolt"], _ = create_key(served.home.database, pepper, tenant="bolt", name="n")

    def trust(self, *more: str, required: bool = False) -> None:
        put_client_trust(self.engine, "".join((self.ca.pem, *more)), required=required)

    def context(self, who: Signed | None) -> ssl.SSLContext:
        context = self.served.trust()
        if who is not None:
            context.load_cert_chain(who.write(self.folder))
        return context

    def connect(self, who: Signed | None, session: Any = None) -> ssl.SSLSocket:
        port = int(self.served.url.rsplit(":", 1)[1])
        raw = socket.create_connection(("127.0.0.1", port), timeout=20)
        return self.context(who).wrap_socket(raw, server_hostname="localhost", session=session)

    def status(self, who: Signed | None, path: str = "/v1/models", **headers: str) -> int:
        with self.connect(who) as sock:
            return ask(sock, path, **headers)

    def bearer(self, tenant: str) -> str:
        return f"Bearer {self.served.keys[tenant]}"


def ask(sock: ssl.SSLSocket, path: str = "/v1/models", **headers: str) -> int:
    """Send one GET and return its status; the connection is kept."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{''.join(lines)}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionResetError
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += sock.recv(65536)
    return int(head.split()[1])


@pytest.fixture
def yard(start: Callable[..., Served], tmp_path: Path) -> Iterator[Yard]:
    made = Yard(start(), tmp_path)
    yield made
    made.engine.dispose()


@pytest.mark.claim("MTLS-01")
@pytest.mark.claim("MTLS-02")
def test_only_a_certificate_of_our_authority_that_is_good_now_ends_the_handshake(
    yard: Yard,
) -> None:
    assert yard.status(yard.ca.client(uri=URI)) == 200, "the control"
    assert yard.status(yard.ca.sub_ca().client(uri=URI)) == 200, "a chain that is short enough"
    assert yard.status(None, authorization=yard.bearer("acme")) == 200, "keys go on"
    assert yard.status(None) == 401
    stranger = authority()
    forged = Signed(stranger.client(uri=URI).certificate, yard.ca.client().key)
    attacks = {
        "wrong CA of the same name": stranger.client(uri=URI),
        "self-signed": authority(),
        "expired": yard.ca.client(uri=URI, ends_in=timedelta(seconds=-5)),
        "a server's": yard.ca.client(uri=URI, purposes=SERVER),
        "chain too long": yard.ca.sub_ca(path_length=None).sub_ca().client(uri=URI),
        "signed by a client": yard.ca.client().client(uri=URI),
    }
    for name, attack in attacks.items():
        with pytest.raises(REFUSED):
            yard.status(attack)
        with pytest.raises(REFUSED):
            yard.status(attack, authorization=yard.bearer("acme"))
        assert name
    with pytest.raises(ssl.SSLError):
        yard.context(forged)  # a certificate is of no use without its key
    # No purpose at all is let in by the TLS library, and by us not.
    plain = yard.ca.client(uri=URI, purposes=())
    assert yard.status(plain) == 401
    assert yard.status(plain, authorization=yard.bearer("acme")) == 401
    # The control: what was refused above for its authority is good once that is ours.
    put_client_trust(yard.engine, stranger.pem, required=False)
    assert yard.status(attacks["wrong CA of the same name"]) == 200


@pytest.mark.claim("MTLS-03")
def test_a_certificate_stands_for_what_the_table_says_and_else_for_nobody(yard: Yard) -> None:
    ours, other = yard.ca.client(), yard.ca.client(uri="spiffe://corp.example/else")
    assert (yard.status(ours), yard.status(other)) == (401, 401)
    map_certificate(yard.engine, tenant="acme", role="auditor", sha256=ours.sha256)
    assert yard.status(ours) == 403, "an auditor may not list models"
    assert yard.status(ours, "/metrics") == 200
    user = yard.ca.client(uri=URI)
    assert (yard.status(user, "/metrics"), yard.status(user, "/admin/v1/host")) == (403, 403)
    freeze_tenant(yard.served.home.database, "acme")
    assert (yard.status(ours, "/metrics"), yard.status(user)) == (401, 401)
    freeze_tenant(yard.served.home.database, "acme", frozen=False)
    assert yard.status(user) == 200


@pytest.mark.claim("MTLS-04")
def test_a_key_beside_a_certificate_must_be_of_its_tenant_and_adds_nothing(yard: Yard) -> None:
    user = yard.ca.client(uri=URI)
    for header, status in {
        yard.bearer("acme"): 200, yard.bearer("bolt"): 401, yard.bearer("admin"): 401,
        "Bearer rubbish": 401, "Basic eDp5": 401, "": 401,
    }.items():  # fmt: skip
        assert yard.status(user, authorization=header) == status
    assert yard.status(yard.ca.client(), authorization=yard.bearer("acme")) == 401, "unmapped"
    # The operator's key gets no operator out of a user's certificate of the same tenant.
    pepper = yard.served.home.pepper.read_bytes()
    token, _ = create_key(
        yard.served.home.database, pepper, tenant="acme", name="n", role="operator"
    )
    assert yard.status(None, "/admin/v1/queue", authorization=f"Bearer {token}") == 200
    assert yard.status(user, "/admin/v1/queue", authorization=f"Bearer {token}") == 403
    assert yard.status(user, authorization=f"Bearer {token}") == 200


@pytest.mark.claim("MTLS-05")
def test_no_header_is_a_certificate(yard: Yard) -> None:
    user = yard.ca.client(uri=URI)
    flat = user.pem.replace("\n", "%0A")
    names = ("X_Client_Cert", "X_SSL_Client_Cert", "X_Forwarded_Client_Cert", "Ssl_Client_Verify",
             "X_SSL_Client_S_DN", "Client_Cert", "X_Client_Verify")  # fmt: skip
    assert yard.status(None, **dict.fromkeys(names, flat)) == 401
    assert yard.status(None, **dict.fromkeys(names, "SUCCESS")) == 401
    assert yard.status(user) == 200, "the control: in the handshake it counts"


@pytest.mark.claim("MTLS-10")
def test_a_page_of_another_site_cannot_use_a_browsers_certificate(yard: Yard) -> None:
    boss = yard.ca.client()
    map_certificate(yard.engine, tenant="acme", role="operator", sha256=boss.sha256)

    def freeze(**headers: str) -> tuple[int, str]:
        with httpx2.Client(base_url=yard.served.url, verify=yard.context(boss)) as http:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = http.post("/admin/v1/tenants/bolt/freeze", headers=named)
        return answer.status_code, answer.json().get("error", {}).get("code", "")

    own = yard.served.url
    for headers in (
        {"origin": "https://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": own}, {"origin": f"{own}.evil.example"},
    ):  # fmt: skip
        assert freeze(**headers) == (403, "cross_site"), headers
    assert yard.status(None, authorization=yard.bearer("bolt")) == 200, "nobody was frozen"
    # The controls: no browser, and a page of the server's own.
    assert freeze() == (200, "")
    assert freeze(origin=own, sec_fetch_site="same-origin") == (200, "")


@pytest.mark.claim("MTLS-06")
def test_revocation_ends_a_stream_that_runs(yard: Yard) -> None:
    grant_model(yard.served.home.database, "acme", "slow")
    revoked, kept = yard.ca.client(uri=URI), yard.ca.client(uri=URI)
    message = {"role": "user", "content": "forever"}
    body = {"model": "slow", "messages": [message], "stream": True}
    with contextlib.ExitStack() as stack:
        lines: list[Iterator[str]] = []
        for who in (revoked, kept):
            client = stack.enter_context(
                httpx2.Client(base_url=yard.served.url, verify=yard.context(who), timeout=20)
            )
            answer = stack.enter_context(client.stream("POST", "/v1/chat/completions", json=body))
            assert answer.status_code == 200
            lines.append(answer.iter_lines())
        assert all(next(one).startswith("data: ") for one in lines)
        revoke_certificate(yard.engine, revoked.sha256)
        ended = "".join(lines[0])
        assert '"invalid_api_key"' in ended
        assert "[DONE]" not in ended
        for _ in range(20):
            assert "invalid_api_key" not in next(lines[1]), "the control"


@pytest.mark.claim("MTLS-06")
def test_revocation_reaches_open_connections(yard: Yard) -> None:
    mapped, by_uri = yard.ca.client(), yard.ca.client(uri=URI)
    row = map_certificate(yard.engine, tenant="acme", role="user", sha256=mapped.sha256)
    with yard.connect(mapped) as one, yard.connect(by_uri) as two:
        assert (ask(one), ask(two)) == (200, 200)
        revoke_certificate(yard.engine, str(row.id))
        revoke_certificate(yard.engine, by_uri.sha256)
        assert (ask(one), ask(two)) == (401, 401)
    assert (yard.status(mapped), yard.status(by_uri)) == (401, 401)
    assert yard.status(yard.ca.client(uri=URI)) == 200, "another one of the URI goes on"


@pytest.mark.claim("MTLS-06")
def test_a_list_of_revocations_and_another_authority_act_at_once(yard: Yard) -> None:
    bad, good = yard.ca.client(uri=URI), yard.ca.client(uri=URI)
    with yard.connect(bad) as sock:
        assert ask(sock) == 200
        yard.trust(yard.ca.revocations(bad))
        assert ask(sock) == 401, "its handshake was before the list"
    with pytest.raises(REFUSED):
        yard.status(bad)
    with yard.connect(good) as sock:
        assert ask(sock) == 200
        drop_client_trust(yard.engine)
        assert ask(sock) == 401
    assert yard.status(good) == 401, "nobody asks for it any more"


@pytest.mark.claim("MTLS-06")
def test_a_certificate_that_ends_ends_its_connection(yard: Yard) -> None:
    seen: tuple[int, int] | None = None
    for lives_s in (3, 15, 60):  # longer where the machine was too busy to ask in time
        user = yard.ca.client(uri=URI, ends_in=timedelta(seconds=lives_s))
        ends_s = user.certificate.not_valid_after_utc.timestamp()
        with contextlib.suppress(*REFUSED), yard.connect(user) as sock:
            before = ask(sock)
            time.sleep(max(0.0, ends_s - time.time()) + 0.05)
            seen = before, ask(sock)
        if seen == (200, 401):
            return
    pytest.fail(f"answered {seen}")


@pytest.mark.claim("MTLS-07")
def test_no_session_is_resumed_and_nothing_below_tls_13_is_spoken(yard: Yard) -> None:
    user = yard.ca.client(uri=URI)
    with yard.connect(user) as sock:
        assert (ask(sock), sock.version()) == (200, "TLSv1.3")
        assert sock.session is None or not sock.session.has_ticket
    context = yard.context(user)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = int(yard.served.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="localhost")
    # The control: without client certificates there are tickets, and TLS 1.2.
    drop_client_trust(yard.engine)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)),
                             server_hostname="localhost") as sock:  # fmt: skip
        assert sock.version() == "TLSv1.2"
        assert ask(sock) == 401
        kept = sock.session
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)),
                             server_hostname="localhost", session=kept) as sock:  # fmt: skip
        assert sock.session_reused
        yard.trust()
        assert ask(sock) == 401, "what was not proved then is not proved now"


@pytest.mark.claim("MTLS-01")
def test_where_it_is_required_no_key_goes_without(yard: Yard) -> None:
    user = yard.ca.client(uri=URI)
    with yard.connect(None) as sock:
        assert ask(sock, authorization=yard.bearer("acme")) == 200
        yard.trust(required=True)
        assert ask(sock, authorization=yard.bearer("acme")) == 401, "also on an open connection"
    with pytest.raises(REFUSED):
        yard.status(None, authorization=yard.bearer("acme"))
    assert yard.status(user) == 200


@pytest.mark.claim("MTLS-08")
def test_audit_and_usage_name_it_by_fingerprint_and_row_and_no_log_its_text(
    yard: Yard, capfd: pytest.CaptureFixture[str]
) -> None:
    user = yard.ca.client(uri=URI)
    with httpx2.Client(base_url=yard.served.url, verify=yard.context(user)) as http:
        assert http.post("/v1/chat/completions", json=CHAT).status_code == 200
    deadline = time.monotonic() + 20
    while not yard.served.usage():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with yard.engine.connect() as connection:
        (number,) = connection.exec_driver_sql("SELECT key_id FROM usage").one()
    assert number == (1 << 51) + 1
    (begin,) = [r for r in read_records(yard.served.home, Wanted()) if r.kind == "begin"]
    assert (begin.tenant, begin.key) == ("acme", f"mtls-{user.sha256[:16]}")
    kept = b"".join(path.read_bytes() for path in yard.served.home.state.glob("audit-*"))
    assert begin.key.encode() in kept, "the search finds what is there"
    printed = capfd.readouterr().err
    for text in (URI, "BEGIN CERTIFICATE"):
        assert text.encode() not in kept
        assert text not in printed
