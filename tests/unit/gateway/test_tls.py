"""TLS: what is spoken, and certificates replaced under way."""

import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from corral.core.errors import CorralError
from corral.gateway.tls import ServerTls
from corral.ipc.messages import Reload
from tests.unit.gateway.conftest import Served
from tests.unit.gateway.test_pipeline import eventually


def pair(name: str, **dates: datetime) -> tuple[bytes, bytes]:
    issued = trustme.CA().issue_cert(name, **dates)
    return issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()


def serial(served: Served) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = int(served.url.rsplit(":", 1)[1])
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw) as sock,
    ):
        assert sock.version() == "TLSv1.3"
        der = sock.getpeercert(binary_form=True)
        assert der is not None
        return der.hex()


@pytest.mark.claim("TLS-04")
@pytest.mark.claim("TLS-05")
def test_a_reload_serves_the_new_certificate_and_keeps_the_old_one_if_it_is_bad(
    served: Served,
) -> None:
    old = serial(served)
    served.launcher.secrets["tls_cert"] = b"rubbish"
    served.launcher.send_event(Reload())
    assert not eventually(lambda: serial(served) != old, within_s=0.3)
    served.launcher.secrets["tls_cert"], served.launcher.secrets["tls_key"] = pair("new.example")
    served.launcher.send_event(Reload())
    assert eventually(lambda: serial(served) != old)


@pytest.mark.claim("TLS-02")
def test_old_protocols_are_refused(served: Served) -> None:
    context = served.trust()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA256")
    port = int(served.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="localhost")


def test_a_pair_that_does_not_match_is_refused() -> None:
    cert, key = pair("a.example")
    tls = ServerTls(cert, key)
    for bad in ((pair("b.example")[0], key), (b"", b""), (cert, b"")):
        with pytest.raises(CorralError) as caught:
            tls.reload(*bad)
        assert caught.value.code == "tls_unusable"


@pytest.mark.claim("TLS-05")
def test_a_certificate_that_is_not_valid_now_never_replaces_a_good_one(served: Served) -> None:
    old = serial(served)
    now, day = datetime.now(UTC), timedelta(days=1)
    good = pair("new.example", not_before=now - day, not_after=now + day)
    tls = ServerTls(*good)
    for begins, ends in ((now - 2 * day, now - day), (now + day, now + 2 * day)):
        bad = pair("new.example", not_before=begins, not_after=ends)
        with pytest.raises(CorralError) as caught:
            tls.reload(*bad)
        assert caught.value.code == "tls_cert_expired"
        served.launcher.secrets["tls_cert"], served.launcher.secrets["tls_key"] = bad
        served.launcher.send_event(Reload())
        assert not eventually(lambda: serial(served) != old, within_s=0.3)
    served.launcher.secrets["tls_cert"], served.launcher.secrets["tls_key"] = good
    served.launcher.send_event(Reload())
    assert eventually(lambda: serial(served) != old)
