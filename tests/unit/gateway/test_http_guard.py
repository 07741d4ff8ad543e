"""What hostile HTTP clients can stretch, each over real TLS."""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import pytest

from corral.core.config import Listen
from corral.gateway.http_guard import Front, allowed_hosts
from tests.support.running_clock import running_clock
from tests.unit.gateway.conftest import Served

SILENCE_S = 8.0
"""Shorter than what the front gives a client by itself."""


def exchange(served: Served, data: bytes) -> bytes:
    """Send bytes and return everything that comes until the server closes.

    Raises:
        TimeoutError: it neither closes nor says anything.
    """
    context = served.trust()
    port = int(served.url.rsplit(":", 1)[1])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as sock,
    ):
        found = b""
        # Who is refused may not get rid of all that he has to say, and is answered all the same.
        with suppress(ConnectionError, ssl.SSLError):
            sock.sendall(data)
        with suppress(ConnectionError, ssl.SSLError):
            while part := sock.recv(65536):
                found += part
                if found.endswith(b"}"):
                    break
        return found


def head(*lines: str, method: str = "GET", path: str = "/healthz") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.mark.claim("HTTP-01")
@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        (head("Host: localhost:1"), 200),
        (head("Host: LOCALHOST"), 200),
        (head("Host: [::1]:8443"), 200),
        (head(), 400),
        (head("Host: localhost", "Host: localhost"), 400),
        (head("Host: evil.example"), 421),
        (head("Host: localhost.evil.example"), 421),
        (head("Host: localhost:80:80"), 421),
        (head("Host: localhost", "X: " + "a" * 40_000), 431),
        (head("Host: localhost", *["X: y"] * 5000), 431),
        (head("Host: localhost", "Content-Length: 1", "Transfer-Encoding: chunked",
              method="POST"), 400),
        (head("Host: localhost", "Content-Length: 99999999", method="POST",
              path="/v1/completions"), 413),
        (b"\x16\x03\x01 rubbish\r\n\r\n", 400),
        (head("Host: localhost", path="/nothing"), 404),
        (head("Host: localhost", path="/v1/completions"), 405),
        (head("Host: localhost", method="DELETE"), 405),
    ],
)  # fmt: skip
def test_each_stretch_has_its_answer(served: Served, request_head: bytes, expected: int) -> None:
    answer = exchange(served, request_head)
    assert status(answer) == expected
    assert b"server:" not in answer.lower()
    if expected >= 400:
        assert b'{"error":{"message":' in answer


@pytest.mark.claim("HTTP-01")
def test_a_chunked_body_is_counted(served: Served) -> None:
    start = head(
        "Host: localhost", "Transfer-Encoding: chunked",
        f"Authorization: {served.bearer()['authorization']}",
        method="POST", path="/v1/completions",
    )  # fmt: skip
    answer = exchange(served, start + b"10000\r\n" + (b"x" * 65536 + b"\r\n10000\r\n") * 20)
    assert status(answer) == 413


@pytest.mark.claim("HTTP-01")
@pytest.mark.parametrize("tail", ["trailers", "one trailer", "extensions"])
def test_what_is_around_a_chunked_body_has_a_bound(served: Served, tail: str) -> None:
    start = head("Host: localhost", "Transfer-Encoding: chunked")
    flood = {
        "trailers": b"0\r\n" + b"a:b\r\n" * 700_000,
        "one trailer": b"0\r\na:" + b"b" * 4_000_000,
        "extensions": b"1;" + b"x" * 4_000_000 + b"\r\nx\r\n0\r\n",
    }[tail]
    with served.http() as http:
        before = http.get("/healthz").status_code
    context, port = served.trust(), int(served.url.rsplit(":", 1)[1])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as sock,
    ):
        with suppress(ConnectionError, ssl.SSLError):
            sock.sendall(start + flood)
        found = b""
        with suppress(ConnectionError, ssl.SSLError):
            while part := sock.recv(65536):
                found += part
        assert b" 200 " not in found.split(b"\r\n", 1)[0] or found.count(b"HTTP/1.1") <= 2
    with served.http() as http:
        assert (before, http.get("/healthz").status_code) == (200, 200)


@pytest.mark.claim("HTTP-01")
def test_a_body_in_chunks_with_a_trailer_is_taken(served: Served) -> None:
    body = b'{"model":"tiny","prompt":"x"}'
    start = head(
        "Host: localhost", "Transfer-Encoding: chunked",
        f"Authorization: {served.bearer()['authorization']}",
        method="POST", path="/v1/completions",
    )  # fmt: skip
    chunks = b"".join(b"1\r\n%c\r\n" % one for one in body)
    assert status(exchange(served, start + chunks + b"0\r\nx-sum: 1\r\n\r\n")) == 200


@pytest.mark.claim("HTTP-01")
def test_headers_without_end_are_cut_off(served: Served) -> None:
    answer = exchange(served, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 3_000_000)
    assert status(answer) in {0, 431}


@pytest.mark.claim("HTTP-03")
def test_pipelining_is_refused(served: Served) -> None:
    body = b'{"model":"slow","prompt":"forever"}'
    one = head(
        "Host: localhost", f"Content-Length: {len(body)}",
        f"Authorization: {served.bearer()['authorization']}",
        method="POST", path="/v1/completions",
    )  # fmt: skip
    with running_clock() as clock:
        assert exchange(served, one + body + head("Host: localhost")) == b""
        assert clock.now_s < 3


def test_the_front_has_our_names_only() -> None:
    assert allowed_hosts(Listen(host="::1", names=("Corral.Example",))) == {
        b"localhost", b"127.0.0.1", b"[::1]", b"corral.example",
    }  # fmt: skip


@pytest.mark.claim("HTTP-02")
@pytest.mark.parametrize("part", [b"", b"GET /healthz HT", head("Host: localhost")[:-2]])
def test_a_client_that_waits_is_cut_off(
    start: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    from corral.gateway import main

    monkeypatch.setattr(
        main,
        "Front",
        lambda **fields: Front(**{**fields, "head_s": 0.3, "body_s": 0.3}),  # type: ignore[arg-type]
    )
    served = start()
    with running_clock() as clock:
        assert exchange(served, part) == b""
        assert clock.now_s < 2
    late_body = head(
        "Host: localhost", "Content-Length: 5",
        f"Authorization: {served.bearer()['authorization']}",
        method="POST", path="/v1/completions",
    )  # fmt: skip
    assert exchange(served, late_body + b"x") == b""


def test_an_unknown_request_gets_its_id(served: Served) -> None:
    with served.http() as http:
        answer = http.get("/v1/nothing")
        assert answer.status_code == 404
        assert answer.headers["x-request-id"].startswith("req_")
        assert http.get("/readyz").json() == {"status": "ok"}
