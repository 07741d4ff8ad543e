"""Every BOM is valid CycloneDX 1.6, follows from the receipt alone, and holds what it knows."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from corral.admission.bom import make_bom
from corral.admission.layer import LayerClaim
from corral.admission.part import PartOfModel
from corral.admission.receipt import Receipt
from corral.admission.report import Finding
from corral.admission.signing.signer import Signer
from tests.support.admitted_row import make_receipt

SIGNER = Signer(
    name="alice", kind="certificate", fingerprint="sha256:" + "b" * 64, identity="a@example.org",
    signed_name="m.gguf", bundle_sha256="c" * 64,
)  # fmt: skip
FULL = make_receipt(
    trust="verified",
    source="hf://Org/Repo/sub/m.gguf@main",
    final_url="https://cdn.example.org/m.gguf?query-removed",
    revision="d" * 40,
    sha256_demanded=True,
    signers=(SIGNER,),
    findings=(Finding("key_odd", "info", "odd", "general.\u202ename"), Finding("b", "info", "c")),
    layers=(LayerClaim("application/x.license", "e" * 64, 9, "LICENSE"),),
    parts=(PartOfModel("m-00001-of-00001.gguf", "1" * 64, 1536),),
    readmitted_from_store=True,
)


def bom_of(receipt: Receipt, digest: str = "f" * 64) -> dict[str, Any]:
    document = make_bom(receipt, digest)
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    assert fault is None, fault
    return document


def properties(document: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in document["components"][0]["properties"]:
        found.setdefault(one["name"].removeprefix("corral:"), []).append(one["value"])
    return found


def test_the_validator_refuses_what_is_none() -> None:
    document = make_bom(FULL, "f" * 64)
    document["components"][0]["hashes"][0]["content"] = "zz"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))


def test_a_bom_holds_what_the_receipt_knows() -> None:
    document = bom_of(FULL)
    (model,) = document["components"]
    assert (document["specVersion"], model["type"]) == ("1.6", "machine-learning-model")
    assert model["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert model["purl"] == f"pkg:huggingface/Org/Repo@{'d' * 40}#sub/m.gguf"
    assert [one["url"] for one in model["externalReferences"]] == [FULL.final_url]
    assert model["modelCard"]["modelParameters"]["modelArchitecture"] == "llama"
    assert document["metadata"]["timestamp"] == "2023-11-14T22:14:20+00:00"
    found = properties(document)
    assert found["size_bytes"] == ["1536"]
    assert found["trust"] == ["verified"]
    assert len(found["trust_reason"]) == 3
    assert found["finding"] == ["info b: c", "info key_odd at general.\u202ename: odd"]
    assert found["signer:0:identity"] == ["a@example.org"]
    assert found["template:outcome"] == ["passed"]
    assert found["trial_engine"] == ["xllamacpp 1"]
    assert found["admitted_at"] == ["2023-11-14T22:14:20Z"]
    assert found["manifest_layer"] == [f"application/x.license sha256:{'e' * 64} LICENSE"]
    assert found["part"] == [f"m-00001-of-00001.gguf sha256:{'1' * 64}"]
    assert "licenses" not in model


@pytest.mark.parametrize(
    ("source", "final_url", "purl", "urls"),
    [
        ("file:///srv/a b.gguf", "", None, []),
        ("pypi://dist==1.0/m.gguf", "", "pkg:pypi/dist@1.0#m.gguf", []),
        ("oci://h:5000/r/m:latest#a b.gguf", "", None, ["oci://h:5000/r/m:latest#a%20b.gguf"]),
        ("ollama://registry.ollama.ai/library/m:1b", "", None,
         ["ollama://registry.ollama.ai/library/m:1b"]),
        ("https://h/m", "https://h/m", None, ["https://h/m"]),
        ("https://h/m", "https://h/%zz", None, ["https://h/m"]),
        ("https://h/m", "javascript:alert(1)", None, ["https://h/m"]),
        ("https://h/m", "https://h/\u202e", None, ["https://h/m"]),
        ("\x00", "", None, []),
    ],
)  # fmt: skip
def test_each_kind_of_source(
    source: str, final_url: str, purl: str | None, urls: list[str]
) -> None:
    document = bom_of(make_receipt(source=source, final_url=final_url))
    (model,) = document["components"]
    assert model.get("purl") == purl
    assert sorted(one["url"] for one in model.get("externalReferences", [])) == urls
    assert properties(document)["source"] == [source]


def test_the_same_receipt_gives_the_same_document_in_any_process() -> None:
    here = json.dumps(bom_of(FULL))
    program = (
        "import json; from tests.unit.admission.test_bom import FULL; "
        "from corral.admission.bom import make_bom; print(json.dumps(make_bom(FULL, 'f' * 64)))"
    )
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here
    assert bom_of(FULL, "0" * 64)["serialNumber"] != json.loads(here)["serialNumber"]
