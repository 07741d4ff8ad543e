"""A real HTTPS server on loopback whose paths behave well or badly, for the fetch job."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme


@dataclass
class Page:
    """One answer.

    Attributes:
        cut_after: close the connection after so many body bytes, once.
        chunked: no Content-Length.
        ranges: whether a part is given to who asks for it.
        part: called with first byte and headers of each range that is given: may change them, or
            return a status that is answered instead.
        then: what is answered from the second request on.
        gate: the second half of the body waits for it.
        requires: value of `Authorization` without which the answer is 401, with `challenge`.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    chunked: bool = False
    ranges: bool = True
    part: Callable[[int, dict[str, str]], int | None] | None = None
    then: Page | None = None
    gate: threading.Event | None = None
    requires: str = ""
    challenge: str = ""


@dataclass
class DownloadServer:
    port: int
    ca_pem: str
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def url(self, path: str) -> str:
        return f"https://{self.host}{path}"

    def ranges(self) -> list[str]:
        return [headers["range"] for _, headers in self.requests if "range" in headers]


@contextmanager
def download_server() -> Iterator[DownloadServer]:
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", key_type=trustme.KeyType.ECDSA).configure_cert(context)
    known: list[DownloadServer] = []

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server = known[0]
            headers = {key.lower(): value for key, value in self.headers.items()}
            server.requests.append((self.path, headers))
            page = server.pages.get(self.path, Page(status=404))
            if page.then is not None:
                server.pages[self.path] = page.then
            body, status, extra = page.body, page.status, dict(page.headers)
            if page.requires and headers.get("authorization") != page.requires:
                body, status, extra = b"{}", 401, {"WWW-Authenticate": page.challenge}
            wanted = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", headers.get("range", ""))
            valid = headers.get("if-range") in {None, extra.get("ETag")}
            if wanted and status == 200 and valid and page.ranges:
                start, end = int(wanted[1]), int(wanted[2] or len(body) - 1)
                extra["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
                instead = page.part(start, extra) if page.part else None
                if instead is None:
                    body, status = body[start : end + 1], 206
                else:
                    body, status = body if instead == 200 else b"", instead
            self.send_response(status)
            if page.chunked:
                extra["Transfer-Encoding"] = "chunked"
            else:
                extra["Content-Length"] = str(len(body))
            for key, value in extra.items():
                self.send_header(key, value)
            self.end_headers()
            if page.cut_after is not None:
                body, page.cut_after = body[: page.cut_after], None
                self.close_connection = True
            if page.chunked:
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            if page.gate is not None:
                # In pieces, until somebody has heard of one: a job does not tell of each.
                half = len(body) // 2
                piece = half // 100 + 1
                for start in range(0, half, piece):
                    self.wfile.write(body[start : min(half, start + piece)])
                    page.gate.wait(0.15)
                page.gate.wait(60)
                body = body[half:]
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            # A client that refuses our certificate or hangs up is what some tests are about.
            try:
                tls = context.wrap_socket(request, server_side=True)
                with tls:
                    super().finish_request(tls, client_address)
            except OSError:
                return

    http = Server(("127.0.0.1", 0), Answering)
    known.append(DownloadServer(http.server_address[1], ca.cert_pem.bytes().decode()))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield known[0]
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
