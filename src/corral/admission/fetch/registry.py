"""Ask a registry: which blob a model is, and what else it keeps.

Trust: fetch jail. Input: untrusted answers. A token goes to the registry that asked for it and to
no other host; the place that gives tokens must be an allowed host like any other.

    1 ask for the manifest
    2 at a 401 ask the named realm for a token to pull, anonymously unless it is the registry itself
    3 ask again; parse; keep the bytes for the operator's side, which hashes them itself
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from corral.admission.fetch.challenge import parse_challenge, parse_token
from corral.admission.fetch.manifest import (
    INDEX_TYPES,
    MANIFEST_BYTES,
    MANIFEST_TYPES,
    ModelLayer,
    find_model_layer,
)
from corral.admission.fetch.web import Web, check_status
from corral.admission.registry_source import RegistrySource
from corral.core.errors import CorralError

_TOKEN_BYTES: Final = 64 << 10
_ACCEPT: Final = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))


class Registry:
    """One repository of a registry; a token that it asks for is kept for the next question."""

    def __init__(self, web: Web, source: RegistrySource) -> None:
        self._web, self._source = web, source
        self._base = f"https://{source.host}/v2/{source.repository}"

    def blob_url(self, digest: str) -> str:
        """Return where a blob's bytes are."""
        return f"{self._base}/blobs/sha256:{digest}"

    def manifest(self, reference: str) -> tuple[bytes, Mapping[str, str]]:
        """Return the bytes and headers of a manifest.

        Raises:
            CorralError: codes of `Web.get_small`.
        """
        return self.document(f"manifests/{reference}", _ACCEPT, MANIFEST_BYTES)

    def document(self, path: str, accept: str, limit_bytes: int) -> tuple[bytes, Mapping[str, str]]:
        """Return the bytes and headers of what a path below the repository leads to.

        Raises:
            CorralError: codes of `Web.get_small`.
        """
        for asked_again in (False, True):
            with self._web.get(f"{self._base}/{path}", {"accept": accept}) as answer:
                if answer.status == 401 and not asked_again:
                    header = answer.headers.get("www-authenticate", "")
                else:
                    check_status(answer.status)
                    return answer.read(limit_bytes), answer.headers
            challenge = parse_challenge(header)
            if challenge is None:
                break
            body, _ = self._web.get_small(
                challenge.token_url(self._source.repository), "application/json", _TOKEN_BYTES
            )
            place = _host_and_port(self._source.host)
            self._web.credentials[place] = f"Bearer {parse_token(body)}"
        raise CorralError("http_error", "the registry does not give this model out (HTTP 401)")


def resolve_layer(web: Web, source: RegistrySource, kept: Path) -> ModelLayer:
    """Return the model's layer and write the manifest to `kept`.

    Raises:
        CorralError: codes of `Registry.manifest`, `find_model_layer`.
    """
    raw, headers = Registry(web, source).manifest(source.reference)
    layer = find_model_layer(raw, headers, source)
    kept.write_bytes(raw)
    return layer


def _host_and_port(host: str) -> str:
    return host if ":" in host else f"{host}:443"
