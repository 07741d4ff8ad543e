"""Debian's `docker-registry` (CNCF distribution) over TLS on loopback, and how to push to it."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import trustme

from tests.support.registry import Image, sha256
from tests.support.server import wait_until

_LISTENING: Final = re.compile(r"listening on 127\.0\.0\.1:([1-9][0-9]*)")


@dataclass(frozen=True)
class RealRegistry:
    """A running registry.

    Attributes:
        host: `localhost:port`.
        ca: certificate of its authority, a PEM file.
    """

    host: str
    ca: Path

    def push(self, repository: str, image: Image, tag: str = "v1") -> str:
        """Push an artifact with the distribution API; return the manifest's digest."""
        for body in (b"{}", *(body for _, _, body in image.layers)):
            kind = "application/octet-stream"
            start = self._call("POST", f"/v2/{repository}/blobs/uploads/", b"", kind)
            place = start.headers["Location"].split(self.host, 1)[-1]
            self._call("PUT", f"{place}&digest=sha256:{sha256(body)}", body, kind)
        return self.put_manifest(repository, tag, image.manifest(), image.media_type)

    def put_manifest(self, repository: str, tag: str, raw: bytes, media_type: str) -> str:
        """Put a manifest or an index whose parts are there; return its digest."""
        answer = self._call("PUT", f"/v2/{repository}/manifests/{tag}", raw, media_type)
        return answer.headers["Docker-Content-Digest"].removeprefix("sha256:")

    def _call(self, method: str, path: str, body: bytes, kind: str) -> http.client.HTTPResponse:
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection(self.host, context=context)
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status in {201, 202}, (path, answer.status)
        return answer


@contextmanager
def started_registry(folder: Path) -> Iterator[RealRegistry]:
    """Run a registry whose files lie in a folder; skip where there is none."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed: scripts/setup.sh --test-tools")
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = ca.issue_cert("localhost", key_type=trustme.KeyType.ECDSA)
    tls = str(folder / "tls.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(tls)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": "127.0.0.1:0", "tls": {"certificate": tls, "key": tls}},
    }
    (folder / "registry.yml").write_text(json.dumps(config))
    log = folder / "registry.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", str(folder / "registry.yml")], stdout=-3, stderr=output
        )
    try:
        # It says itself which port it got: one that was free before could be somebody else's now.
        assert wait_until(lambda: process.poll() is not None or _LISTENING.search(log.read_text()))
        found = _LISTENING.search(log.read_text())
        assert found, "the registry ended while it started"
        yield RealRegistry(f"localhost:{found[1]}", folder / "ca.pem")
    finally:
        process.kill()
        process.wait()
