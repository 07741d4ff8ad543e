"""HTTPS GET with redirects that are each checked, no proxy, no cookies kept, no compression.

A credential goes to the one host and port that it is for: not to where that host redirects, and
not to the same host on another port.

Trust: fetch jail. Input: untrusted responses; at most `REDIRECTS` redirects; headers are bounded by
the HTTP library (100 KiB), bodies by the caller.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Final, Self
from urllib.parse import urljoin

import httpcore2
import httpx2

from corral.admission.fetch.destination import Destinations, PinnedBackend
from corral.admission.fetch.pace import Pace
from corral.admission.fetch.throttle import Throttle
from corral.core.errors import CorralError

REDIRECTS: Final = 5
TIMEOUT_S: Final = 60.0
_REDIRECT: Final = frozenset({301, 302, 303, 307, 308})
_BASE_HEADERS: Final = {"accept-encoding": "identity", "user-agent": "corral-fetch/1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that is not a redirect, its body unread.

    Attributes:
        url: the last address of the redirect chain.
        headers: of this response.
        trail: headers of every response of the chain, the first one first.
    """

    status: int
    url: str
    headers: Mapping[str, str]
    trail: tuple[Mapping[str, str], ...]
    _response: httpx2.Response
    _throttle: Throttle

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            CorralError: code `network_error`.
        """
        with _network_errors():
            for chunk in self._response.iter_raw():
                self._throttle.spend(len(chunk))
                yield chunk

    def read(self, limit_bytes: int) -> bytes:
        """Return the whole body.

        Raises:
            CorralError: codes `network_error`, `too_large`.
        """
        body = bytearray()
        for chunk in self.chunks():
            body += chunk
            if len(body) > limit_bytes:
                raise CorralError("too_large", "the server's answer is too long")
        return bytes(body)


class Web:
    """Fetches from allowed destinations; leaving the context closes its connections.

    Attributes:
        credentials: `host:port` → value of `Authorization` for it, and for nobody else.
    """

    def __init__(
        self,
        destinations: Destinations,
        ca_pem: str,
        credentials: Mapping[str, str] = MappingProxyType({}),
        pace: Pace | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self._destinations, self._ca_pem, self._pace = destinations, ca_pem, pace
        self._throttle = throttle or Throttle(0)
        self.credentials = dict(credentials)
        context = ssl.create_default_context(cadata=ca_pem)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._client = httpx2.Client(
            transport=_PinnedTransport(destinations, context, pace),
            trust_env=False,
            follow_redirects=False,
            timeout=TIMEOUT_S,
        )

    def twin(self) -> Web:
        """Return another one for another thread, which shares the rate and knows the same."""
        return Web(self._destinations, self._ca_pem, self.credentials, self._pace, self._throttle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """GET `url`, follow checked redirects, and give the last response.

        Raises:
            CorralError: codes `host_not_allowed`, `private_address`, `redirect_refused`,
                `network_error`, `http_error`: the answer is compressed, which nobody asked for.
        """
        trail: list[Mapping[str, str]] = []
        for _ in range(REDIRECTS + 1):
            parts = self._destinations.check_url(url)
            self._client.cookies.clear()
            credential = self.credentials.get(f"{parts.hostname}:{parts.port or 443}")
            sent = {"authorization": credential} if credential else {}
            with _network_errors():
                request = self._client.build_request(
                    "GET", url, headers=_BASE_HEADERS | {**headers} | sent
                )
                response = self._client.send(request, stream=True)
            trail.append(response.headers)
            if response.status_code not in _REDIRECT:
                try:
                    _check_encoding(response.headers)
                    yield Answer(
                        response.status_code, url, response.headers, tuple(trail), response,
                        self._throttle,
                    )  # fmt: skip
                finally:
                    response.close()
                return
            response.close()
            url = urljoin(url, response.headers.get("location", ""))
        raise CorralError("redirect_refused", "the download redirects too often")

    def get_small(self, url: str, accept: str, limit_bytes: int) -> tuple[bytes, str]:
        """Return (body, final URL) of a document of at most `limit_bytes`.

        Raises:
            CorralError: as `get`; also `too_large`, `not_found`, `http_error`.
        """
        with self.get(url, {"accept": accept}) as answer:
            check_status(answer.status)
            return answer.read(limit_bytes), answer.url


def check_status(status: int) -> None:
    """Refuse a response that is not 200.

    Raises:
        CorralError: codes `not_found`, `http_error`, `network_error` (server trouble: try again).
    """
    if status == 200:
        return
    if status in {404, 410}:
        raise CorralError("not_found", "the server does not have this file")
    if status in {401, 403}:
        raise CorralError("http_error", f"the server does not give this file out (HTTP {status})")
    if status == 429 or status >= 500:
        raise CorralError("network_error", f"the server cannot answer now (HTTP {status})")
    raise CorralError("http_error", f"the server answered HTTP {status}")


def _check_encoding(headers: Mapping[str, str]) -> None:
    """A compressed answer is none that we asked for, and may be a bomb: it is not unpacked."""
    if headers.get("content-encoding", "").strip().lower() not in {"", "identity"}:
        raise CorralError("http_error", "the server compresses its answer, which was not asked for")


class _PinnedTransport(httpx2.HTTPTransport):
    """The library's transport over connections that `PinnedBackend` makes."""

    def __init__(
        self, destinations: Destinations, context: ssl.SSLContext, pace: Pace | None
    ) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context,
            max_connections=4,
            http2=False,
            network_backend=PinnedBackend(destinations, pace),
        )


@contextmanager
def _network_errors() -> Iterator[None]:
    try:
        yield
    except httpx2.ConnectError as error:
        detail = "its certificate is not trusted" if _is_tls(error) else "it cannot be reached"
        raise CorralError("network_error", f"the server does not answer: {detail}") from error
    except httpx2.TimeoutException as error:
        raise CorralError("network_error", "the server is silent, or too slow") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
        raise CorralError("network_error", "the connection broke off") from error


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
