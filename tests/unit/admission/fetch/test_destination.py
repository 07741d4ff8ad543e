"""Which addresses and hosts a fetch may reach."""

import ipaddress

import pytest
from httpcore2 import ConnectError

from corral.admission.fetch.destination import Destinations, PinnedBackend, is_private
from corral.core.errors import CorralError


@pytest.mark.claim("FET-02")
@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.255.0.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255", "198.18.0.1",
        "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1",
        "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::",
        "2002:a00:1::", "64:ff9b::7f00:1", "64:ff9b:1::1", "::127.0.0.1", "2001:0:1::1",
    ],
)  # fmt: skip
def test_private(text: str) -> None:
    assert is_private(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "203.0.113.80", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1",
        "::ffff:8.8.8.8", "64:ff9b::808:808",
    ],
)  # fmt: skip
def test_public(text: str) -> None:
    assert not is_private(ipaddress.ip_address(text))


PLACES = Destinations(("pypi.org", "*.hf.co", "own.example:8443"), ("lan.example:9000",))


@pytest.mark.parametrize(
    "url",
    [
        "https://pypi.org/x", "https://PyPI.org:443/x", "https://pypi.org./x",
        "https://a.b.hf.co/x", "https://own.example:8443/", "https://lan.example:9000/",
    ],
)  # fmt: skip
def test_allowed(url: str) -> None:
    assert PLACES.check_url(url).scheme == "https"


@pytest.mark.claim("FET-01")
@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://pypi.org/x", "redirect_refused"),
        ("ftp://pypi.org/x", "redirect_refused"),
        ("https://u:p@pypi.org/x", "redirect_refused"),
        ("https:///x", "redirect_refused"),
        ("https://pypi.org:99999/x", "redirect_refused"),
        ("https://pypi.org:8443/x", "host_not_allowed"),
        ("https://hf.co/x", "host_not_allowed"),
        ("https://evilhf.co/x", "host_not_allowed"),
        ("https://pypi.org.evil.example/x", "host_not_allowed"),
        ("https://own.example/x", "host_not_allowed"),
        ("https://lan.example/x", "host_not_allowed"),
    ],
)
def test_refused(url: str, code: str) -> None:
    with pytest.raises(CorralError) as caught:
        PLACES.check_url(url)
    assert caught.value.code == code


@pytest.mark.claim("FET-02")
def test_a_name_that_resolves_to_loopback_is_refused_at_connect() -> None:
    with pytest.raises(CorralError) as caught:
        PinnedBackend(PLACES).connect_tcp("localhost", 443)
    assert caught.value.code == "private_address"


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(CorralError) as caught:
        PLACES.addresses("a" * 70 + ".invalid", 443)
    assert caught.value.code == "network_error"


def test_local_sockets_are_no_destination() -> None:
    with pytest.raises(ConnectError):
        PinnedBackend(PLACES).connect_unix_socket("/run/x.sock")
