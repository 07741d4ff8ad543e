"""Pages of a download server that make it a registry: manifests, blobs, a token server."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from tests.support.download_server import DownloadServer, Page

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
TITLE = "org.opencontainers.image.title"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@dataclass
class Image:
    """An artifact: layers as (media type, title, body)."""

    layers: list[tuple[str, str, bytes]]
    media_type: str = OCI
    changes: dict[str, object] = field(default_factory=dict)

    def manifest(self) -> bytes:
        described = [
            {"mediaType": kind, "digest": f"sha256:{sha256(body)}", "size": len(body)}
            | ({"annotations": {TITLE: title}} if title else {})
            for kind, title, body in [
                ("application/vnd.oci.empty.v1+json", "", b"{}"),
                *self.layers,
            ]
        ]
        whole = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": described[0],
            "layers": described[1:],
        }
        return json.dumps(whole | self.changes).encode()


def ollama(model: bytes, *others: tuple[str, bytes]) -> Image:
    """An image as Ollama's registry has them."""
    kind = "application/vnd.ollama.image."
    return Image(
        [(f"{kind}model", "", model), *((kind + name, "", body) for name, body in others)], DOCKER
    )


def oras(title: str, model: bytes) -> Image:
    """An artifact as `oras push` makes it."""
    return Image([("application/octet-stream", title, model)])


def publish(
    server: DownloadServer, repository: str, image: Image, tag: str = "latest", token: str = ""
) -> str:
    """Put an image on a server and return its manifest's digest.

    Args:
        token: demanded of whoever pulls; the server's `/token` gives it out.
    """
    raw = image.manifest()
    digest = sha256(raw)
    guard = {"requires": f"Bearer {token}" if token else ""}
    guard["challenge"] = f'Bearer realm="{server.url("/token")}",service="reg",scope="all:yours:*"'
    headers = {"Content-Type": image.media_type, "Docker-Content-Digest": f"sha256:{digest}"}
    base = f"/v2/{repository}"
    for reference in (tag, f"sha256:{digest}"):
        server.pages[f"{base}/manifests/{reference}"] = Page(raw, headers=headers, **guard)  # type: ignore[arg-type]
    for _, _, body in image.layers:
        server.pages[f"{base}/blobs/sha256:{sha256(body)}"] = Page(body, **guard)  # type: ignore[arg-type]
    if token:
        path = f"/token?service=reg&scope=repository%3A{repository.replace('/', '%2F')}%3Apull"
        server.pages[path] = Page(json.dumps({"token": token}).encode())
    return digest
