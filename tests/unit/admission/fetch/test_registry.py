"""Models of registries, against a real HTTPS server that is a registry, behaving well and badly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from corral.admission.fetch.challenge import Challenge, parse_challenge
from corral.admission.fetch.job import fetch
from corral.admission.layer import LayerClaim
from tests.support.download_server import DownloadServer, Page, download_server
from tests.support.registry import DOCKER, OCI, Image, ollama, oras, publish, sha256
from tests.unit.admission.fetch.test_job import refusal, request

BODY = bytes(range(256)) * 2_000
SHA = sha256(BODY)


def test_a_model_of_ollama_with_its_layers(server: DownloadServer, tmp_path: Path) -> None:
    template = b"{{ .Prompt }}"
    publish(server, "lib/m", ollama(BODY, ("template", template), ("license", b"MIT")), "q4")
    arrived = fetch(request(server, f"ollama://{server.host}/lib/m:q4"), tmp_path)
    assert arrived.sha256 == SHA
    assert arrived.layers[1] == LayerClaim(
        "application/vnd.ollama.image.template", sha256(template), len(template)
    )
    assert len(arrived.layers) == 3, "configuration, template, license"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "manifest"}
    asked = [path for path, _ in server.requests]
    assert asked == ["/v2/lib/m/manifests/q4", f"/v2/lib/m/blobs/sha256:{SHA}"], "and no layer else"


def test_an_artifact_by_tag_by_digest_and_by_file(server: DownloadServer, tmp_path: Path) -> None:
    image = oras("m.gguf", BODY)
    image.layers.append(("application/octet-stream", "README.md", b"read me"))
    image.layers.append(("application/octet-stream", "n.bin", BODY[1:]))
    digest = publish(server, "a/b/c", image, "v1")
    base = f"oci://{server.host}/a/b/c"
    assert fetch(request(server, f"{base}:v1"), tmp_path).sha256 == SHA
    assert fetch(request(server, f"{base}@sha256:{digest}"), tmp_path).sha256 == SHA
    assert server.requests[-2][0].endswith(f"/manifests/sha256:{digest}")
    assert fetch(request(server, f"{base}:v1#n.bin"), tmp_path).sha256 == sha256(BODY[1:])
    assert refusal(request(server, f"{base}:v1#o.gguf"), tmp_path) == "member_not_found"
    image.layers.append(("application/x-gguf", "", b"other"))
    publish(server, "a/b/c", image, "v2")
    assert refusal(request(server, f"{base}:v2"), tmp_path) == "member_ambiguous"


@pytest.mark.claim("FET-10")
def test_a_pinned_manifest_is_the_one_that_comes(server: DownloadServer, tmp_path: Path) -> None:
    other = publish(server, "a/b", oras("m.gguf", BODY + b"x"))
    digest = publish(server, "a/b", oras("m.gguf", BODY))
    wanted = f"ollama://{server.host}/a/b@sha256:{other}"
    assert refusal(request(server, wanted), tmp_path) == "hash_mismatch"
    pages = server.pages
    pages[f"/v2/a/b/manifests/sha256:{other}"] = pages[f"/v2/a/b/manifests/sha256:{digest}"]
    assert refusal(request(server, f"oci://{server.host}/a/b@sha256:{other}"), tmp_path) == (
        "hash_mismatch"
    )
    assert not any("/blobs/" in path for path, _ in server.requests)


@pytest.mark.claim("FET-10")
@pytest.mark.parametrize("change", [BODY[:-1], BODY + b"x", BODY[:-1] + b"\0"])
def test_a_blob_that_is_not_the_one_named(
    server: DownloadServer, tmp_path: Path, change: bytes
) -> None:
    publish(server, "a/b", oras("m.gguf", BODY))
    server.pages[f"/v2/a/b/blobs/sha256:{SHA}"] = Page(change)
    assert refusal(request(server, f"oci://{server.host}/a/b"), tmp_path) == "hash_mismatch"


def test_a_demanded_digest_spares_the_download(server: DownloadServer, tmp_path: Path) -> None:
    publish(server, "a/b", oras("m.gguf", BODY))
    wanted = request(server, f"oci://{server.host}/a/b", sha256="0" * 64)
    assert refusal(wanted, tmp_path) == "hash_mismatch"
    assert len(server.requests) == 1


GOOD = json.loads(oras("m.gguf", BODY).manifest())


def changed(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


def layer(**changes: object) -> dict[str, object]:
    return {"layers": [GOOD["layers"][0] | changes]}


MANIFESTS: dict[str, tuple[bytes, str]] = {
    "no json": (b"{", OCI),
    "deep": (b"[" * 100_000, OCI),
    "list": (b"[]", OCI),
    "index": (changed(mediaType="application/vnd.oci.image.index.v1+json", manifests=[]), OCI),
    "both a manifest and an index": (changed(manifests=[]), OCI),
    "an index by its header": (changed(), "application/vnd.oci.image.index.v1+json"),
    "two media types": (changed(), DOCKER),
    "no media type": (changed(mediaType=""), "application/json"),
    "text": (changed(mediaType="text/plain"), "text/plain"),
    "version 1": (changed(schemaVersion=1), OCI),
    "fs layers": (changed(fsLayers=[]), OCI),
    "path in a digest": (changed(**layer(digest="sha256:../../../../etc/passwd")), OCI),
    "path in a digest of another layer": (changed(config=GOOD["config"] | {"digest": "../x"}), OCI),
    "capitals": (changed(**layer(digest=f"sha256:{SHA.upper()}")), OCI),
    "newline": (changed(**layer(digest=f"sha256:{SHA}\n")), OCI),
    "other algorithm": (changed(**layer(digest="md5:" + "0" * 32)), OCI),
    "negative size": (changed(**layer(size=-1)), OCI),
    "many layers": (changed(layers=GOOD["layers"] * 300), OCI),
}


@pytest.mark.claim("FET-10")
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_bad_manifest(server: DownloadServer, tmp_path: Path, name: str) -> None:
    publish(server, "a/b", oras("m.gguf", BODY))
    raw, kind = MANIFESTS[name]
    server.pages["/v2/a/b/manifests/latest"] = Page(raw, headers={"Content-Type": kind})
    assert refusal(request(server, f"oci://{server.host}/a/b"), tmp_path) == "bad_manifest"
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_is_not_left_out_silently(server: DownloadServer, tmp_path: Path) -> None:
    publish(server, "a/b", ollama(BODY, ("adapter", b"lora")))
    assert refusal(request(server, f"ollama://{server.host}/a/b"), tmp_path) == "bad_manifest"


def test_a_manifest_over_its_size(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/v2/a/b/manifests/latest"] = Page(b" " * (5 << 20))
    assert refusal(request(server, f"oci://{server.host}/a/b"), tmp_path) == "too_large"


def test_a_layer_over_the_cap_is_not_asked_for(server: DownloadServer, tmp_path: Path) -> None:
    publish(server, "a/b", oras("m.gguf", BODY))
    wanted = request(server, f"oci://{server.host}/a/b", max_bytes=len(BODY) - 1)
    assert refusal(wanted, tmp_path) == "too_large"


def test_an_anonymous_token(server: DownloadServer, tmp_path: Path) -> None:
    publish(server, "a/b", oras("m.gguf", BODY), token="t0ken")
    assert fetch(request(server, f"oci://{server.host}/a/b"), tmp_path).sha256 == SHA
    (_, first), (asked, second), (_, third), (_, blob) = server.requests
    assert "authorization" not in first
    assert "authorization" not in second
    assert third["authorization"] == blob["authorization"] == "Bearer t0ken"
    assert asked.endswith("scope=repository%3Aa%2Fb%3Apull"), "what we want, not what it says"


@pytest.mark.claim("FET-11")
def test_a_token_goes_to_its_registry_alone(server: DownloadServer, tmp_path: Path) -> None:
    with download_server() as other:
        publish(server, "a/b", oras("m.gguf", BODY), token="t0ken")
        blob = server.pages[f"/v2/a/b/blobs/sha256:{SHA}"]
        blob.status, blob.headers = 307, {"Location": other.url("/cdn")}
        other.pages["/cdn"] = Page(BODY)
        hosts = (server.host, other.host)
        wanted = request(
            server, f"oci://{server.host}/a/b", hosts=hosts, private_hosts=hosts,
            ca_pem=server.ca_pem + other.ca_pem, credentials={server.host: "Bearer from-file"},
        )  # fmt: skip
        assert fetch(wanted, tmp_path).sha256 == SHA
        ((_, headers),) = other.requests
        assert "authorization" not in headers
        first, asked = server.requests[0][1], server.requests[1][1]
        assert first["authorization"] == asked["authorization"] == "Bearer from-file", "the control"


@pytest.mark.claim("FET-11")
def test_a_foreign_token_server_gets_no_credential(server: DownloadServer, tmp_path: Path) -> None:
    with download_server() as other:
        publish(other, "a/b", oras("m.gguf", BODY), token="t0ken")
        publish(server, "a/b", oras("m.gguf", BODY), token="t0ken")
        for page in server.pages.values():
            page.challenge = page.challenge.replace(server.host, other.host)
        hosts = (server.host, other.host)
        wanted = request(
            server, f"oci://{server.host}/a/b", hosts=hosts, private_hosts=hosts,
            ca_pem=server.ca_pem + other.ca_pem, credentials={server.host: "Basic c2VjcmV0"},
        )  # fmt: skip
        assert fetch(wanted, tmp_path).sha256 == SHA
        assert [headers.get("authorization") for _, headers in other.requests] == [None]
        refused = msgspec.structs.replace(wanted, hosts=(server.host,), private_hosts=hosts[:1])
        assert refusal(refused, tmp_path) == "host_not_allowed"


@pytest.mark.parametrize(
    ("challenge", "code"),
    [
        ("", "http_error"),
        ("Basic realm=x", "http_error"),
        ('Bearer realm="http://localhost/t"', "redirect_refused"),
        ('Bearer realm="file:///etc/passwd"', "redirect_refused"),
        ('Bearer realm="https://169.254.169.254/latest"', "host_not_allowed"),
        ('Bearer realm="https://[x/"', "http_error"),
        ('Bearer realm="https://a/",realm="https://b/"', "http_error"),
        ('Bearer realm="' + "x" * 5000 + '"', "http_error"),
    ],
)
def test_a_hostile_challenge(
    server: DownloadServer, tmp_path: Path, challenge: str, code: str
) -> None:
    page = Page(requires="Bearer never", challenge=challenge)
    server.pages["/v2/a/b/manifests/latest"] = page
    assert refusal(request(server, f"oci://{server.host}/a/b"), tmp_path) == code


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"token":""}', b'{"token":"a\\r\\nX-Y: z"}', b'{"token":3}']
)
def test_a_token_that_is_none(server: DownloadServer, tmp_path: Path, body: bytes) -> None:
    publish(server, "a/b", oras("m.gguf", BODY), token="t0ken")
    (path,) = (path for path in server.pages if path.startswith("/token"))
    server.pages[path] = Page(body)
    assert refusal(request(server, f"oci://{server.host}/a/b"), tmp_path) == "http_error"


def test_a_registry_that_always_wants_another_token(server: DownloadServer, tmp_path: Path) -> None:
    publish(server, "a/b", oras("m.gguf", BODY), token="t0ken")
    server.pages["/v2/a/b/manifests/latest"].requires = "Bearer never"
    assert refusal(request(server, f"oci://{server.host}/a/b"), tmp_path) == "http_error"
    assert len(server.requests) == 3


def test_a_token_that_expires_in_the_middle(server: DownloadServer, tmp_path: Path) -> None:
    """The download breaks off, and goes on with a token of then."""
    publish(server, "a/b", oras("m.gguf", BODY), token="first")
    pages = dict(server.pages)
    publish(server, "a/b", oras("m.gguf", BODY), token="second")
    blob, manifest = f"/v2/a/b/blobs/sha256:{SHA}", "/v2/a/b/manifests/latest"
    (token,) = (path for path in pages if path.startswith("/token"))
    for path in (blob, token):
        pages[path].then = server.pages[path]
    pages[manifest].then = replace(pages[manifest], then=server.pages[manifest])
    pages[blob].cut_after = 100_000
    pages[blob].headers = {"ETag": '"v1"'}
    server.pages[blob].headers = {"ETag": '"v1"'}
    server.pages.update(pages)
    assert fetch(request(server, f"oci://{server.host}/a/b"), tmp_path).sha256 == SHA
    assert server.ranges() == ["bytes=100000-"]
    assert server.requests[-1][1]["authorization"] == "Bearer second"


def test_challenges() -> None:
    assert parse_challenge('Bearer realm="https://a/t", service="s" , scope="x,y"') == Challenge(
        "https://a/t", "s"
    )
    assert parse_challenge('bearer realm="https://a/t?x=1#y"') is not None
    url = Challenge("https://a/t?x=1#y", "").token_url("a/b")
    assert url == "https://a/t?scope=repository%3Aa%2Fb%3Apull"


def test_an_image_without_a_model(server: DownloadServer, tmp_path: Path) -> None:
    publish(server, "a/b", Image([("application/vnd.ollama.image.tensor", "", BODY)], DOCKER))
    assert refusal(request(server, f"ollama://{server.host}/a/b"), tmp_path) == "member_not_found"
