"""The own CA and the server certificate."""

import datetime as dt
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.authority import ensure_authority, ensure_server_certificate

NOW = datetime.now(UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.tls.mkdir()
    return home


def _leaf(home: Home) -> x509.Certificate:
    return x509.load_pem_x509_certificate(home.server_cert.read_bytes())


def _ca(home: Home) -> x509.Certificate:
    return x509.load_pem_x509_certificate(home.ca_cert.read_bytes())


def _handshake(home: Home, name: str) -> str | None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(home.server_cert, home.server_key)
    client = ssl.create_default_context(cafile=str(home.ca_cert))
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as connection:
            return connection.version()
    finally:
        ours.close()
        thread.join()


@pytest.mark.claim("TLS-01")
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "box.lan", "10.1.2.3"])
def test_clients_that_trust_the_ca_accept_every_name(home: Home, name: str) -> None:
    ensure_authority(home)
    ensure_server_certificate(home, ("box.lan", "10.1.2.3"))
    assert _handshake(home, name) == "TLSv1.3"


@pytest.mark.claim("TLS-01")
def test_another_name_is_not_accepted(home: Home) -> None:
    ensure_authority(home)
    ensure_server_certificate(home, ())
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        _handshake(home, "example.com")


@pytest.mark.claim("TLS-03")
def test_keys_are_private_and_the_ca_can_only_sign_leaves(home: Home) -> None:
    ensure_authority(home)
    ensure_server_certificate(home, ())
    for key in ((home.tls / "ca.key"), home.server_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    constraints = _ca(home).extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    leaf = _leaf(home).extensions.get_extension_for_class(x509.BasicConstraints)
    assert not leaf.value.ca
    assert _leaf(home).not_valid_after_utc - NOW < dt.timedelta(days=398)


def test_nothing_is_written_twice(home: Home) -> None:
    ensure_authority(home)
    assert ensure_server_certificate(home, ("a.lan",))
    before = {path: path.read_bytes() for path in home.tls.iterdir()}
    ensure_authority(home)
    assert not ensure_server_certificate(home, ("a.lan",))
    assert not ensure_server_certificate(home, ("A.LAN", "localhost"))
    assert {path: path.read_bytes() for path in home.tls.iterdir()} == before


@pytest.mark.parametrize("cause", ["names", "expiry", "key lost", "key swapped", "garbage"])
def test_the_server_certificate_is_renewed(home: Home, cause: str) -> None:
    ensure_authority(home)
    ensure_server_certificate(home, ())
    before = _leaf(home)
    names: tuple[str, ...] = ()
    now = NOW
    if cause == "names":
        names = ("b.lan",)
    elif cause == "expiry":
        now = NOW + dt.timedelta(days=370)
    elif cause == "key lost":
        home.server_key.unlink()
    elif cause == "key swapped":
        home.server_key.write_bytes((home.tls / "ca.key").read_bytes())
    else:
        home.server_cert.write_bytes(b"garbage")
    assert ensure_server_certificate(home, names, now=now)
    assert _leaf(home).serial_number != before.serial_number
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(home.server_cert, home.server_key)


def test_another_ca_s_certificate_is_replaced(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.tls.mkdir(parents=True)
    for one in (home, other):
        ensure_authority(one)
    ensure_server_certificate(other, ())
    home.server_cert.write_bytes(other.server_cert.read_bytes())
    home.server_key.write_bytes(other.server_key.read_bytes())
    assert ensure_server_certificate(home, ())
    _leaf(home).verify_directly_issued_by(_ca(home))


def test_the_ca_is_renewed_with_the_same_key(home: Home) -> None:
    ensure_authority(home)
    before = _ca(home)
    later = NOW + dt.timedelta(days=3650 - 10)
    ensure_authority(home, now=later)
    after = _ca(home)
    assert after.public_key() == before.public_key()
    assert after.not_valid_after_utc > later + dt.timedelta(days=3000)


def test_a_server_certificate_never_outlives_its_ca(home: Home) -> None:
    ensure_authority(home)
    ensure_server_certificate(home, (), now=NOW + dt.timedelta(days=3600))
    assert _leaf(home).not_valid_after_utc == _ca(home).not_valid_after_utc


def test_a_ca_key_kept_elsewhere_is_missed_only_to_sign(home: Home) -> None:
    ensure_authority(home)
    ensure_server_certificate(home, ())
    ca = home.ca_cert.read_bytes()
    (home.tls / "ca.key").unlink()
    ensure_authority(home)
    assert not ensure_server_certificate(home, ())
    for attempt in (
        lambda: ensure_server_certificate(home, ("new.lan",)),
        lambda: ensure_authority(home, now=NOW + dt.timedelta(days=3650)),
    ):
        with pytest.raises(CorralError) as refused:
            attempt()
        assert refused.value.code == "ca_key_missing"
    assert home.ca_cert.read_bytes() == ca


def test_without_a_ca_nothing_is_issued(home: Home) -> None:
    with pytest.raises(CorralError) as refused:
        ensure_server_certificate(home, ())
    assert refused.value.code == "ca_unreadable"


@pytest.mark.parametrize(
    "name", ["", "a b", "a_b", "-a", "a..b", "x" * 64, "ä.de", "a.lan\n.b", "*", "*.*", "a/b"]
)
def test_bad_names_are_refused(home: Home, name: str) -> None:
    ensure_authority(home)
    with pytest.raises(CorralError) as refused:
        ensure_server_certificate(home, (name,))
    assert refused.value.code == "bad_server_name"


def test_too_many_names_are_refused(home: Home) -> None:
    ensure_authority(home)
    with pytest.raises(CorralError) as refused:
        ensure_server_certificate(home, tuple(f"h{n}.lan" for n in range(100)))
    assert refused.value.code == "bad_server_name"
