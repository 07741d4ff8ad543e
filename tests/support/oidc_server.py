"""A real OIDC provider on loopback: TLS, a code flow and keys of its own (oidc-provider-mock)."""

from __future__ import annotations

import secrets
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import oidc_provider_mock
import trustme
from werkzeug.serving import make_server

AUDIENCE = "corral"


@dataclass
class OidcServer:
    """A running provider."""

    issuer: str
    ca_pem: str
    app: Any

    @property
    def host(self) -> str:
        return urlsplit(self.issuer).netloc

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish only that one."""
        self.app = oidc_provider_mock.app()

    def token(self, audience: str = AUDIENCE, **claims: object) -> str:
        """Log somebody in by the code flow; return the ID token."""
        trust = ssl.create_default_context(cadata=self.ca_pem)
        back = "https://client.example/back"
        with httpx2.Client(base_url=self.issuer, verify=trust) as http:
            http.put("/users/alice", json=claims).raise_for_status()
            asked = {
                "client_id": audience, "redirect_uri": back, "response_type": "code",
                "scope": "openid", "state": secrets.token_hex(4),
            }  # fmt: skip
            sent = http.post("/oauth2/authorize", params=asked, data={"sub": "alice"})
            (code,) = parse_qs(urlsplit(sent.headers["location"]).query)["code"]
            answer = http.post(
                "/oauth2/token", auth=(audience, "secret"),
                data={"grant_type": "authorization_code", "code": code, "redirect_uri": back},
            )  # fmt: skip
            return str(answer.raise_for_status().json()["id_token"])


@contextmanager
def oidc_server() -> Iterator[OidcServer]:
    """Serve a provider until the block ends."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    known: list[OidcServer] = []

    def answer(environ: Any, start: Any) -> Any:
        return known[0].app(environ, start)

    http = make_server("localhost", 0, answer, threaded=True, ssl_context=context)
    pem = ca.cert_pem.bytes().decode()
    known.append(OidcServer(f"https://localhost:{http.server_port}", pem, oidc_provider_mock.app()))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield known[0]
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
