"""The fetch zone against servers that do what no server should: each is told from an honest one."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from corral.admission.fetch.destination import Destinations
from corral.admission.fetch.download import Download, download
from corral.admission.fetch.job import fetch
from corral.admission.fetch.pace import Pace
from corral.admission.fetch.web import Web
from corral.core.errors import CorralError
from tests.support.download_server import DownloadServer, Page
from tests.support.raw_server import raw_server, tls_context
from tests.unit.admission.fetch.test_job import BODY, SHA, refusal, request

OK = b"HTTP/1.1 200 OK\r\n"
CA = trustme.CA(key_type=trustme.KeyType.ECDSA)
CA_PEM = CA.cert_pem.bytes().decode()
CONTEXT = tls_context(CA, "localhost", "rebind.example")
PACE = Pace(bytes_=2000, within_s=0.3)


def said(raw: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(raw)


def web_to(port: int, *, ca_pem: str = CA_PEM, pace: Pace | None = None) -> Web:
    place = (f"localhost:{port}",)
    return Web(Destinations(place, place), ca_pem, pace=pace)


def outcome(web: Web, port: int, folder: Path, sha256: str = "", limit: int = 1 << 20) -> str:
    """Return the code that a download ends with, or nothing; a refusal leaves no file."""
    wanted = Download(
        url=f"https://localhost:{port}/m", target=folder / "m", max_bytes=limit, sha256=sha256,
        pause_s=0,
    )  # fmt: skip
    try:
        with web:
            download(web, wanted, lambda done, total, ready: None)
    except CorralError as error:
        assert not (folder / "m").exists()
        return error.code
    return ""


# Addresses


class Resolver:
    """A name server that says something else each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


def said_by(who: bytes) -> Callable[[socket.socket], None]:
    return said(OK + b"Content-Length: %d\r\n\r\n%s" % (len(who), who))


@pytest.fixture
def two_servers() -> Iterator[int]:
    """The same port of two addresses, and both may call themselves rebind.example."""
    with (
        raw_server(said_by(b"checked"), CONTEXT) as port,
        raw_server(said_by(b"inside"), CONTEXT, "127.0.0.2", port),
    ):
        yield port


@pytest.mark.claim("FET-02")
def test_a_second_answer_of_the_name_server_changes_nothing(two_servers: int) -> None:
    place = f"rebind.example:{two_servers}"
    resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])
    with Web(Destinations((place,), (place,), resolver), CA_PEM) as web:
        assert web.get_small(f"https://{place}/", "*/*", 99)[0] == b"checked"
    assert resolver.asked == 1
    # The control: who checks one answer and connects by another is led inside.
    assert resolver("rebind.example", two_servers) == ["127.0.0.2"]
    with (
        socket.create_connection(("127.0.0.2", two_servers)) as plain,
        ssl.create_default_context(cadata=CA_PEM).wrap_socket(
            plain, server_hostname="rebind.example"
        ) as inside,
    ):
        inside.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert inside.recv(999).endswith(b"inside")


@pytest.mark.claim("FET-02")
def test_a_name_is_checked_again_at_each_connection(two_servers: int) -> None:
    """The first answer is public (and nobody is there), the second, of the retry, is not."""
    place = f"rebind.example:{two_servers}"
    resolver = Resolver(["127.0.0.1"], ["8.8.8.8", "127.0.0.2"])
    moved = OK.replace(b"200 OK", b"302 Found") + b"Connection: close\r\nContent-Length: 0\r\n"
    answer = said(moved + b"Location: https://rebind.example:%d/\r\n\r\n" % two_servers)
    with raw_server(answer, CONTEXT) as port:
        first = f"localhost:{port}"
        places = Destinations((first, place), (first,), resolver)
        with Web(places, CA_PEM) as web, pytest.raises(CorralError) as caught:
            web.get_small(f"https://{first}/", "*/*", 99)
    assert (caught.value.code, resolver.asked) == ("private_address", 2)


@pytest.mark.claim("FET-02")
@pytest.mark.parametrize("answers", [["8.8.8.8", "127.0.0.1"], ["2606:4700::1", "::1"]])
def test_one_private_address_among_public_ones(answers: list[str]) -> None:
    places = Destinations(("mixed.example",), (), Resolver(answers))
    with pytest.raises(CorralError) as caught:
        places.addresses("mixed.example", 443)
    assert caught.value.code == "private_address"
    assert Destinations((), (), Resolver(answers[:1])).addresses("x", 443) == answers[:1]


FORMS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "0", "10.0.0.1",
    "169.254.169.254", "2852039166", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    "[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]",
    "[::ffff:0:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]", "[2002:7f00:1::1]", "[2002:a9fe:a9fe::1]", "[2001:0:7f00:1::]",
]  # fmt: skip


@pytest.mark.claim("FET-02")
@pytest.mark.parametrize("host", FORMS)
def test_a_redirect_to_an_inner_address(server: DownloadServer, tmp_path: Path, host: str) -> None:
    """Also where the operator's list would let the name itself pass."""
    server.pages["/a"] = Page(status=307, headers={"Location": f"https://{host}:{server.port}/b"})
    server.pages["/b"] = Page(BODY)
    listed = (server.host, f"{host.strip('[]')}:{server.port}")
    assert refusal(request(server, server.url("/a"), hosts=listed), tmp_path) == "private_address"
    assert refusal(request(server, server.url("/a")), tmp_path) == "host_not_allowed"
    assert [path for path, _ in server.requests] == ["/a", "/a"]


# Time


def trickle(connection: socket.socket, raw: bytes, pause_s: float = 0.05) -> None:
    for byte in raw:
        connection.sendall(bytes([byte]))
        time.sleep(pause_s)


@pytest.mark.claim("FET-04")
@pytest.mark.parametrize("at_once", [b"", OK + b"Content-Length: 999\r\n\r\n"])
def test_a_server_that_trickles(tmp_path: Path, at_once: bytes) -> None:
    """In the headers or in the body: no read waits for long, all of them would."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(at_once)
        trickle(connection, b"x" * 999)

    with raw_server(answer, CONTEXT) as port:
        assert outcome(web_to(port, pace=PACE), port, tmp_path) == "network_error"


@pytest.mark.claim("FET-04")
def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    with raw_server(lambda connection: connection.recv(1) and None, CONTEXT) as port:
        assert outcome(web_to(port, pace=PACE), port, tmp_path) == "network_error"
    with socket.create_server(("127.0.0.1", 0)) as mute:  # not even a handshake
        port = mute.getsockname()[1]
        assert outcome(web_to(port, pace=PACE), port, tmp_path) == "network_error"


def test_a_slow_server_that_keeps_the_pace(tmp_path: Path) -> None:
    """The control: in all it takes longer than the time in which a part has to come."""
    pace = Pace(bytes_=2000, within_s=3)

    def answer(connection: socket.socket) -> None:
        connection.sendall(OK + b"Content-Length: 16000\r\n\r\n")
        for _ in range(8):
            connection.sendall(b"x" * 2000)
            time.sleep(0.5)

    with raw_server(answer, CONTEXT) as port:
        began = time.monotonic()
        assert outcome(web_to(port, pace=pace), port, tmp_path) == ""
        assert time.monotonic() - began > pace.within_s


# Encodings


def squeezed(body: bytes) -> bytes:
    return gzip.compress(body)


BOMB = squeezed(bytes(1 << 24))


@pytest.mark.claim("FET-05")
@pytest.mark.parametrize(
    "encoding", ["gzip", "GZIP", "br", "zstd", "deflate", "identity, gzip", "gzip, gzip", "x"]
)
def test_a_compressed_answer(server: DownloadServer, tmp_path: Path, encoding: str) -> None:
    server.pages["/m"] = Page(BOMB, headers={"Content-Encoding": encoding})
    assert refusal(request(server, server.url("/m")), tmp_path) == "http_error"
    assert list(tmp_path.iterdir()) == []
    # An index page is a body like any other.
    server.pages["/simple/my-model/"] = server.pages["/m"]
    assert refusal(request(server, "pypi://my-model==1/m.gguf"), tmp_path) == "http_error"
    assert all(headers["accept-encoding"] == "identity" for _, headers in server.requests)


def test_a_body_is_never_unpacked(server: DownloadServer, tmp_path: Path) -> None:
    """The control: what is not called compressed arrives as it was sent."""
    server.pages["/m"] = Page(BOMB, headers={"Content-Encoding": "identity"})
    assert fetch(request(server, server.url("/m")), tmp_path).size_bytes == len(BOMB) < 1 << 24
    assert zlib.decompress((tmp_path / "model").read_bytes(), 31) == bytes(1 << 24)


@pytest.mark.claim("FET-05")
@pytest.mark.parametrize("encoding", ["gzip", "gzip, chunked", "chunked, gzip"])
def test_a_compressed_transfer(tmp_path: Path, encoding: str) -> None:
    raw = OK + f"Transfer-Encoding: {encoding}\r\n\r\n".encode() + b"5\r\nabcde\r\n0\r\n\r\n"
    with raw_server(said(raw), CONTEXT) as port:
        assert outcome(web_to(port), port, tmp_path) == "network_error"


# Lengths


@pytest.mark.claim("FET-03")
@pytest.mark.parametrize(
    ("head", "body", "code"),
    [
        (b"Content-Length: 10", b"x" * 9, "network_error"),
        (b"Content-Length: 10\r\nContent-Length: 11", b"x" * 11, "network_error"),
        (b"Content-Length: -1", b"x", "network_error"),
        (b"Content-Length: 1e3", b"x" * 1000, "network_error"),
        (b"Content-Length: 99999999999999999999", b"x", "network_error"),
        (b"Content-Length: 2000000", b"x", "too_large"),
        (b"Transfer-Encoding: chunked", b"5\r\nxxxxx\r\n", "network_error"),
        (b"Transfer-Encoding: chunked", b"-5\r\nxxxxx\r\n0\r\n\r\n", "network_error"),
        (b"Transfer-Encoding: chunked", b"fffffffffffffffff\r\nx", "network_error"),
        (b"X: " + b"y" * 200_000, b"", "network_error"),
    ],
)
def test_a_length_that_is_wrong(tmp_path: Path, head: bytes, body: bytes, code: str) -> None:
    with raw_server(said(OK + head + b"\r\n\r\n" + body), CONTEXT) as port:
        assert outcome(web_to(port), port, tmp_path) == code


@pytest.mark.parametrize("head", [b"Content-Length: 10", b"Content-Length: 10, 10"])
def test_what_follows_the_announced_length_is_not_taken(tmp_path: Path, head: bytes) -> None:
    """Too long is what a digest notices, and a length that is right is the control."""
    sha256 = hashlib.sha256(b"x" * 10).hexdigest()
    with raw_server(said(OK + head + b"\r\n\r\n" + b"x" * 10 + b"y" * 50), CONTEXT) as port:
        assert outcome(web_to(port), port, tmp_path, sha256) == ""
    assert (tmp_path / "m").read_bytes() == b"x" * 10


@pytest.mark.claim("FET-03")
def test_a_part_that_is_longer_than_announced(server: DownloadServer, tmp_path: Path) -> None:
    """A range of a file of 200 bytes, which goes on."""
    server.pages["/m"] = Page(
        b"x" * 5000, status=206, headers={"Content-Range": "bytes 100-199/200"}
    )
    wanted = request(server, server.url("/m"), sha256="0" * 64)
    leave_a_part(wanted.source, wanted.sha256, tmp_path, b"x" * 100)
    assert refusal(wanted, tmp_path) == "http_error"
    assert list(tmp_path.iterdir()) == []


def leave_a_part(url: str, sha256: str, folder: Path, part: bytes) -> None:
    (folder / "model.part").write_bytes(part)
    digest = hashlib.sha256(url.encode()).hexdigest()
    saved = f'{{"url_sha256":"{digest}","sha256":"{sha256}","validator":""}}'
    (folder / "model.part.json").write_text(saved)


@pytest.mark.claim("FET-03")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_without_end(tmp_path: Path, *, chunked: bool) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(OK + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n"))
        block = b"x" * 65536
        while True:
            connection.sendall(b"10000\r\n%s\r\n" % block if chunked else block)

    with raw_server(answer, CONTEXT) as port:
        assert outcome(web_to(port), port, tmp_path) == "too_large"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.claim("ADM-02")
def test_the_last_byte_is_another(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m"] = Page(BODY[:-1] + bytes([BODY[-1] ^ 1]))
    wanted = request(server, server.url("/m"), sha256=SHA)
    assert refusal(wanted, tmp_path) == "hash_mismatch"
    assert list(tmp_path.iterdir()) == []
    server.pages["/m"] = Page(BODY)
    assert fetch(wanted, tmp_path).sha256 == SHA, "the control"


# TLS


def out_of_date() -> ssl.SSLContext:
    context, now = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    CA.issue_cert("localhost", not_before=now - 9 * day, not_after=now - day).configure_cert(
        context
    )
    return context


def of_an_old_protocol() -> ssl.SSLContext:
    context = tls_context(CA, "localhost")
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


WRONG: dict[str, tuple[Callable[[], ssl.SSLContext | None], str]] = {
    "another authority": (lambda: tls_context(trustme.CA(), "localhost"), "certificate"),
    "another name": (lambda: tls_context(CA, "localhost.example"), "certificate"),
    "out of date": (out_of_date, "certificate"),
    "an old protocol": (of_an_old_protocol, "reached"),
    "no encryption": (lambda: None, "silent"),
}
"""Servers, each with one thing wrong, and what the message says of it."""


@pytest.mark.claim("FET-06")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("which", WRONG)
def test_a_server_that_is_not_who_it_says(which: str) -> None:
    make, word = WRONG[which]
    context = make()
    pace = PACE if word == "silent" else None  # who is not silent may be slow
    reached: list[bool] = []
    with (
        raw_server(lambda _: reached.append(True), context) as port,
        web_to(port, pace=pace) as web,
        pytest.raises(CorralError) as caught,
    ):
        web.get_small(f"https://localhost:{port}/", "*/*", 99)
    assert caught.value.code == "network_error"
    assert word in caught.value.message
    assert not reached, "it was asked nothing"


def test_the_server_that_is(two_servers: int) -> None:
    """The control of the tests above."""
    with web_to(two_servers) as web:
        assert web.get_small(f"https://localhost:{two_servers}/", "*/*", 99)[0] == b"checked"
