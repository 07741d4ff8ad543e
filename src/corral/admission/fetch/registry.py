"""Ask a registry which blob a model is.

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


def resolve_layer(web: Web, source: RegistrySource, kept: Path) -> ModelLayer:
    """Return the model's layer and write the manifest to `kept`.

    Raises:
        CorralError: codes of `Web.get_small`, `find_model_layer`.
    """
    raw, headers = _get_manifest(web, source)
    layer = find_model_layer(raw, headers, source)
    kept.write_bytes(raw)
    return layer


def blob_url(source: RegistrySource, layer: ModelLayer) -> str:
    """Return where the layer's bytes are."""
    return f"https://{source.host}/v2/{source.repository}/blobs/sha256:{layer.digest}"


def _get_manifest(web: Web, source: RegistrySource) -> tuple[bytes, Mapping[str, str]]:
    url = f"https://{source.host}/v2/{source.repository}/manifests/{source.reference}"
    for asked_again in (False, True):
        with web.get(url, {"accept": _ACCEPT}) as answer:
            if answer.status == 401 and not asked_again:
                header = answer.headers.get("www-authenticate", "")
            else:
                check_status(answer.status)
                return answer.read(MANIFEST_BYTES), answer.headers
        challenge = parse_challenge(header)
        if challenge is None:
            break
        body, _ = web.get_small(
            challenge.token_url(source.repository), "application/json", _TOKEN_BYTES
        )
        web.credentials[_host_and_port(source.host)] = f"Bearer {parse_token(body)}"
    raise CorralError("http_error", "the registry does not give this model out (HTTP 401)")


def _host_and_port(host: str) -> str:
    return host if ":" in host else f"{host}:443"
