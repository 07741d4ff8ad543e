"""The ML-BOM of an admitted model: CycloneDX 1.6 (ECMA-424) JSON, made from its receipt alone.

Trust: operator side, only `corral show --bom`; pure, no I/O, no clock: the same receipt gives the
same document. Never imported by gateway or jails.
Input: a receipt whose signature was verified. What it quotes of servers and model files is
untrusted and becomes JSON strings; only URLs of a known form become references.

What CycloneDX has no field for is a property: names are `corral:` and those of the receipt.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from cyclonedx.exception.model import InvalidUriException
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from corral.admission.receipt import Receipt
from corral.admission.report import Finding
from corral.admission.source import HubSource, PypiSource, parse_source
from corral.core.errors import CorralError

_NAMESPACE: Final = uuid.UUID("14448ddc-6285-4b39-bd8a-ffd166b4c598")
"""Of serial numbers (UUID 5, RFC 9562), so that a receipt has one BOM wherever it is made."""


def make_bom(receipt: Receipt, receipt_sha256: str) -> dict[str, Any]:
    """Return the BOM of a model as a JSON object.

    Args:
        receipt: of the admission.
        receipt_sha256: digest of its signed text, which gives the serial number.
    """
    components = [_model(receipt), *_laid(receipt)]
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, receipt_sha256),
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(receipt.admitted_at, tz=UTC),
            tools=ToolRepository(
                components=[Component(name="corral", type=ComponentType.APPLICATION)]
            ),
            properties=[Property(name="corral:receipt_sha256", value=receipt_sha256)],
        ),
        components=components,
    )
    bom.register_dependency(components[0], components[1:])
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    # The library (11.12) knows no model cards, which the standard asks for with every model.
    model = next(c for c in document["components"] if c["bom-ref"] == components[0].bom_ref.value)
    model["modelCard"] = {
        "modelParameters": {
            "task": "text-generation",
            "modelArchitecture": receipt.architecture,
            "inputs": [{"format": one} for one in ("text", *sorted(receipt.modalities))],
            "outputs": [{"format": "text"}],
        }
    }
    return document


def _model(receipt: Receipt) -> Component:
    purl = _package(receipt)
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"sha256:{receipt.digest}",
        name=receipt.name,
        version=purl.version if purl else None,
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=receipt.digest)],
        external_references=_references(receipt),
        properties=[
            Property(name=f"corral:{name}", value=value) for name, value in _properties(receipt)
        ],
    )


def _laid(receipt: Receipt) -> Iterator[Component]:
    """Yield what is laid over the model, a model of its own by the standard's types."""
    derivation = receipt.derivation
    if derivation is None or derivation.laid is None:
        return
    laid, adapter = derivation.laid, derivation.adapter
    plain = {
        "size_bytes": laid.size_bytes,
        "adapter_scale": adapter.scale / 1000 if adapter else "",
        "source": laid.source,
        "final_url": laid.final_url,
        "revision": laid.revision,
        "wheel_sha256": laid.wheel_sha256,
        "manifest_sha256": laid.manifest_sha256,
        "fetched_at": _time(laid.fetched_at),
    }
    named = [(name, str(value)) for name, value in plain.items() if value != ""]
    named += [("finding", _finding(one)) for one in laid.findings]
    named += [("signer", f"{one.kind} {one.fingerprint}") for one in laid.signers]
    yield Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"sha256:{laid.digest}",
        name=f"{'LoRA adapter' if adapter else 'Projector'} of {receipt.name}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=laid.digest)],
        properties=[Property(name=f"corral:{name}", value=value) for name, value in named],
    )


def _finding(finding: Finding) -> str:
    where = f" at {finding.where}" if finding.where else ""
    return f"{finding.severity} {finding.code}{where}: {finding.message}"


def _package(receipt: Receipt) -> PackageURL | None:
    """Return the package (purl) that the source names, if it is one of a package registry."""
    try:
        source = parse_source(receipt.source)
    except CorralError:
        return None
    match source:
        case HubSource(org=org, repo=repo, file=file, revision=asked):
            return PackageURL("huggingface", org, repo, receipt.revision or asked, subpath=file)
        case PypiSource(dist=dist, version=version, member=member):
            return PackageURL("pypi", None, dist, version, subpath=member)
    return None


def _references(receipt: Receipt) -> list[ExternalReference]:
    """Return where the bytes came from; what is no URL of a server stays a property."""
    found = []
    for url in dict.fromkeys((receipt.source, receipt.final_url)):
        # final_url is what a server said: another scheme could be a script to whoever clicks.
        if not url.startswith(("https://", "oci://", "ollama://")) or not url.isascii():
            continue
        try:
            place = XsUri(url)
        except InvalidUriException:
            continue
        found.append(ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=place))
    return found


def _properties(receipt: Receipt) -> Iterator[tuple[str, str]]:
    """Yield what has no field of its own; empty values are left out."""
    template, derivation = receipt.template, receipt.derivation
    plain = {
        "derived_from": derivation.base if derivation else "",
        "identity": receipt.identity if derivation else "",
        "template:given_by_operator": "true" if derivation and derivation.template_sha256 else "",
        "size_bytes": receipt.size_bytes,
        "trust": receipt.trust,
        "source": receipt.source,
        "final_url": receipt.final_url,
        "revision": receipt.revision,
        "wheel_sha256": receipt.wheel_sha256,
        "manifest_sha256": receipt.manifest_sha256,
        "fetched_at": _time(receipt.fetched_at),
        "admitted_at": _time(receipt.admitted_at),
        "readmitted_from_store": "true" if receipt.readmitted_from_store else "",
        "scanner": receipt.scanner,
        "procedure": receipt.procedure,
        "policy": receipt.decision.policy,
        "policy_sha256": receipt.decision.policy_sha256,
        "policy_rule": receipt.decision.rule,
        "licence_claimed": receipt.licence,
        "trial_engine": receipt.engine,
        "quantisation": receipt.quantisation,
        "parameters": receipt.parameters,
        "context_train_tokens": receipt.context_train_tokens,
        "template:outcome": template.outcome,
        "template:name": template.name,
        "template:sha256": template.sha256,
        "template:found_sha256": template.found_sha256,
    }
    yield from ((name, str(value)) for name, value in plain.items() if value != "")
    yield from (("trust_reason", reason) for reason in receipt.decision.reasons)
    yield from (("finding", _finding(finding)) for finding in receipt.findings)
    for number, signer in enumerate(receipt.signers):
        yield f"signer:{number}:kind", signer.kind
        yield f"signer:{number}:fingerprint", signer.fingerprint
        yield f"signer:{number}:signed_name", signer.signed_name
        yield f"signer:{number}:signature_file_sha256", signer.bundle_sha256
        if signer.name:
            yield f"signer:{number}:name", signer.name
        if signer.identity:
            yield f"signer:{number}:identity", signer.identity
    for part in receipt.parts:
        yield "part", f"{part.name} sha256:{part.sha256}"
    for layer in receipt.layers:
        title = f" {layer.title}" if layer.title else ""
        yield "manifest_layer", f"{layer.media_type} sha256:{layer.sha256}{title}"


def _time(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"
