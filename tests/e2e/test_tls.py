"""TLS of the real server: who is trusted, which versions, an operator's certificate, reload."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
import trustme
from cryptography import x509

from corral.core.home import Home
from corral.pki.authority import RENEW_DAYS, ensure_server_certificate
from corral.pki.issue import SERVER_DAYS
from tests.support.server import corral, corral_json, wait_until


def address(server) -> tuple[str, int]:
    host, _, port = server.url.removeprefix("https://").rpartition(":")
    return host, int(port)


def handshake(server, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(address(server), timeout=60)
    return context.wrap_socket(plain, server_hostname="localhost")


def healthy(sock: ssl.SSLSocket) -> bool:
    """Ask on this very connection."""
    sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    answer.read()
    return answer.status == 200


@pytest.mark.claim("TLS-01")
def test_only_the_own_ca_is_needed_and_a_stranger_is_refused(shared_server):
    with handshake(shared_server, shared_server.tls()) as sock:
        assert sock.version() == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(shared_server, ssl.create_default_context())


@pytest.mark.claim("TLS-02")
def test_old_versions_and_plain_http_are_refused(shared_server):
    context = shared_server.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with handshake(shared_server, context) as sock:
        assert sock.version() == "TLSv1.2"
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(shared_server, old)
    with pytest.raises(httpx2.HTTPError):
        httpx2.get(shared_server.url.replace("https", "http") + "/healthz", timeout=5)


@pytest.mark.claim("TLS-03")
def test_private_keys_are_readable_by_the_owner_only(shared_server):
    for path in ("tls/ca.key", "tls/server.key", "secrets/pepper", "secrets/receipt.key"):
        assert (shared_server.home / path).stat().st_mode & 0o077 == 0, path


class Operator:
    """Whoever has a certificate of a CA of their own."""

    def __init__(self, place: Path) -> None:
        place.mkdir(mode=0o700)
        self.authority = trustme.CA()
        self.cert_file = place / "server.pem"
        self.key_file = place / "server.key"

    def issue(self, name: str, *, days: int = 2, mode: int = 0o600) -> None:
        now = datetime.now(UTC)
        made = self.authority.issue_cert(
            "localhost", "127.0.0.1", common_name=name, not_before=now - timedelta(days=9),
            not_after=now + timedelta(days=days),
        )  # fmt: skip
        self.cert_file.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        self.key_file.write_bytes(made.private_key_pem.bytes())
        self.key_file.chmod(mode)

    def trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture
def operator(home: Path) -> Operator:
    """An operator whose first certificate the configuration names."""
    one = Operator(home.parent / "operator")
    one.issue("first")
    (home / "corral.toml").write_text(
        f'[tls]\ncert_file = "{one.cert_file}"\nkey_file = "{one.key_file}"\n'
    )
    return one


def served(sock: ssl.SSLSocket) -> str:
    names = {k: v for part in sock.getpeercert()["subject"] for k, v in part}
    return names["commonName"]


@pytest.mark.claim("TLS-04")
def test_operators_certificate_is_served_and_replaced_without_a_restart(
    home, operator, server_factory
):
    server = server_factory()
    context = operator.trust()
    with handshake(server, context) as old:
        assert served(old) == "first"
        assert healthy(old)  # one that has never asked anything is hung up on after 10 s
        operator.issue("second")
        assert corral_json(home, "reload")["reloaded"] is True
        with handshake(server, context) as fresh:  # no waiting: the verb has waited
            assert served(fresh) == "second"
        assert healthy(old)  # the old connection lives on


@pytest.mark.claim("TLS-05")
def test_a_bad_new_certificate_keeps_the_old_one_and_is_said_so(home, operator, server_factory):
    server = server_factory()
    context = operator.trust()

    def refused() -> str:
        done = corral(home, "reload", "--json", check=False)
        assert done.returncode == 1, done.stdout
        with handshake(server, context) as sock:
            assert served(sock) == "first"
        return json.loads(done.stdout)["error"]["code"]

    operator.issue("expired", days=-1)
    assert refused() == "tls_cert_expired"
    operator.issue("exposed", mode=0o644)
    assert refused() == "tls_key_exposed"
    operator.issue("broken")
    operator.cert_file.write_text("not a certificate")
    assert refused() == "tls_cert_unreadable"

    # Who signals the server past the verb, as a service manager may, meets the gateway's own check.
    operator.issue("expired", days=-1)
    server.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: '"tls_reload_failed"' in server.log())
    assert '"code":"tls_cert_expired"' in server.log()
    with handshake(server, context) as sock:
        assert served(sock) == "first"

    operator.issue("last")  # the control: a good one does replace it
    corral(home, "reload")
    with handshake(server, context) as sock:
        assert served(sock) == "last"


@pytest.mark.claim("TLS-04")
def test_the_own_certificate_is_renewed_in_time_without_a_restart(home, server_factory):
    server = server_factory()
    early = datetime.now(UTC) - timedelta(days=SERVER_DAYS - RENEW_DAYS + 1)

    def ends() -> datetime:
        with handshake(server, server.tls()) as sock:
            der = sock.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).not_valid_after_utc

    before = ends()
    assert corral_json(home, "reload")["renewed"] is False
    assert ends() == before
    assert ensure_server_certificate(Home(home), (), now=early)
    assert corral_json(home, "reload")["renewed"] is True
    assert ends() > datetime.now(UTC) + timedelta(days=SERVER_DAYS - 1)
    (home / "tls" / "server.crt").write_text("not a certificate")
    assert corral_json(home, "reload")["renewed"] is True
    assert ends() > datetime.now(UTC)
