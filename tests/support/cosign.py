"""What `cosign sign` leaves in a registry, made by our own code after its specifications."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from corral.admission.signing.dsse import sign_payload
from tests.support.registry import Image, sha256
from tests.support.signatures import bundle_json

INDEX = "application/vnd.oci.image.index.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"


def simple_payload(manifest: str, reference: str) -> bytes:
    critical = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": f"sha256:{manifest}"},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}).encode()


def simple_image(*signed: tuple[bytes, ec.EllipticCurvePrivateKey]) -> Image:
    """Return the image of a tag `sha256-….sig` with one layer for each signature."""
    layers: list[dict[str, Any]] = []
    for payload, key in signed:
        signature = base64.b64encode(key.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
        layers.append({
            "mediaType": SIMPLE, "digest": f"sha256:{sha256(payload)}", "size": len(payload),
            "annotations": {"dev.cosignproject.cosign/signature": signature},
        })  # fmt: skip
    return Image([(SIMPLE, "", payload) for payload, _ in signed], changes={"layers": layers})


def statement_of(manifest: str) -> bytes:
    """Return what cosign 3 signs of a manifest."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": manifest}, "annotations": {}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
    return json.dumps(statement).encode()


def bundle_of(manifest: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a bundle of cosign 3 over a manifest."""
    raw = statement_of(manifest)
    return bundle_json(raw, sign_payload(raw, key).signatures[0].sig)


def bundle_image(bundle: bytes, manifest: str) -> Image:
    """Return the manifest around a bundle, which refers to what was signed."""
    subject = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": f"sha256:{manifest}", "size": 1,
    }  # fmt: skip
    return Image([(BUNDLE, "", bundle)], changes={"artifactType": BUNDLE, "subject": subject})


def referrers(*images: Image) -> bytes:
    """Return the index that lists manifests with bundles."""
    listed = [
        {
            "mediaType": image.media_type, "digest": f"sha256:{sha256(image.manifest())}",
            "size": len(image.manifest()), "artifactType": BUNDLE,
        }
        for image in images
    ]  # fmt: skip
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
