"""TLS of the real server: who is trusted, which versions, an operator's certificate, reload."""

from __future__ import annotations

import datetime
import socket
import ssl

import httpx2
import pytest
import trustme

from tests.support.server import corral, wait_until


def address(server) -> tuple[str, int]:
    host, _, port = server.url.removeprefix("https://").rpartition(":")
    return host, int(port)


def handshake(server, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(address(server), timeout=10)
    return context.wrap_socket(plain, server_hostname="localhost")


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


@pytest.mark.claim("TLS-04")
def test_operators_certificate_is_served_and_replaced_without_a_restart(home, server_factory):
    authority = trustme.CA()
    place = home.parent / "operator"
    place.mkdir(mode=0o700)

    def issue(name: str) -> None:
        made = authority.issue_cert(
            "localhost", "127.0.0.1", common_name=name,
            not_after=datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2),
        )  # fmt: skip
        chain = b"".join(pem.bytes() for pem in made.cert_chain_pems)
        (place / "server.pem").write_bytes(chain)
        (place / "server.key").write_bytes(made.private_key_pem.bytes())
        (place / "server.key").chmod(0o600)

    issue("first")
    (home / "corral.toml").write_text(
        f'[tls]\ncert_file = "{place}/server.pem"\nkey_file = "{place}/server.key"\n'
    )
    server = server_factory()
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def served(sock: ssl.SSLSocket) -> str:
        names = {k: v for part in sock.getpeercert()["subject"] for k, v in part}
        return names["commonName"]

    with handshake(server, context) as old:
        assert served(old) == "first"
        issue("second")
        corral(home, "reload")

        def replaced() -> bool:
            with handshake(server, context) as fresh:
                return served(fresh) == "second"

        assert wait_until(replaced, seconds=5)
        old.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert old.recv(64).startswith(b"HTTP/1.1 200")  # the old connection lives on


@pytest.mark.claim("TLS-05")
def test_a_broken_new_certificate_keeps_the_old_one(home, server_factory):
    server = server_factory()
    with handshake(server, server.tls()) as sock:
        before = sock.getpeercert(binary_form=True)
    (home / "tls" / "server.crt").write_text("not a certificate")
    corral(home, "reload", check=False)
    with handshake(server, server.tls()) as sock:
        assert sock.getpeercert(binary_form=True) == before
