"""corral show: for people, as JSON, and as a receipt that an outsider can verify."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from corral.admission.part import PartOfModel
from corral.admission.report import Finding
from corral.admission.signing.signer import Signer
from corral.core.home import Home
from tests.support.admitted_row import make_receipt, put_receipt
from tests.support.command_line import Corral


def outsider(printed: str, public_key_pem: bytes) -> Any:
    """Verify as docs/receipts.md says, with nothing of corral."""
    document = json.loads(printed)
    key = load_pem_public_key(public_key_pem)
    assert isinstance(key, Ed25519PublicKey)
    signed = document["context"].encode() + document["receipt"].encode()
    key.verify(base64.b64decode(document["signature"], validate=True), signed)
    return json.loads(document["receipt"])


@pytest.mark.claim("ADM-18")
def test_an_outsider_verifies_a_receipt_and_any_changed_byte_fails(
    corral: Corral, home: Home
) -> None:
    receipt = make_receipt(findings=(Finding("key_odd", "info", "a näme", "general.\u202ename"),))
    put_receipt(home, receipt)
    ended = corral("show", "m", "--receipt", "--home", str(home.root))
    assert ended.code == 0
    pem = home.receipt_public_key.read_bytes()
    assert outsider(ended.out, pem)["digest"] == receipt.digest
    document = ended.document
    signature = bytearray(base64.b64decode(document["signature"]))
    raw = (document["context"] + document["receipt"]).encode()
    key = load_pem_public_key(pem)
    assert isinstance(key, Ed25519PublicKey)
    key.verify(bytes(signature), raw)
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(InvalidSignature):
            key.verify(bytes(signature), changed)
    for place in range(len(signature)):
        changed = bytes(signature[:place] + bytes([signature[place] ^ 1]) + signature[place + 1 :])
        with pytest.raises(InvalidSignature):
            key.verify(changed, raw)


def test_a_receipt_that_does_not_verify_is_not_printed(corral: Corral, home: Home) -> None:
    put_receipt(home, make_receipt())
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("UPDATE models SET receipt = replace(receipt, 'untrusted', 'verified')")
    ended = corral("show", "m", "--receipt", "--json", "--home", str(home.root))
    assert (ended.code, ended.error_code) == (1, "receipt_invalid")


def test_people_read_where_it_is_from_and_why_it_is_trusted(corral: Corral, home: Home) -> None:
    signer = Signer(
        name="alice", kind="key", fingerprint="sha256:" + "b" * 64, signed_name="m.gguf",
        bundle_sha256="c" * 64,
    )  # fmt: skip
    put_receipt(
        home,
        make_receipt(
            trust="verified",
            sha256_demanded=True,
            signers=(signer,),
            findings=(Finding("key_odd", "info", "odd \x1b[31mkey"),),
            parts=(PartOfModel("m-1-of-1.gguf", "1" * 64, 1536),),
        ),
    )
    ended = corral("show", "m", "--home", str(home.root))
    text = " ".join(ended.out.split())
    for part in (
        "identity", "a" * 64, "1.5 KiB (1,536 bytes)", "source file:///m.gguf",
        "level verified", "The operator demanded this sha256", "Signed by alice (key,",
        "info key_odd: odd [31mkey", "passed: the file's own", "4 times 2,048 tokens of context",
        "admitted 2023-11-14 22:14:20 UTC", "trial load xllamacpp 1",
        f"part m-1-of-1.gguf, 1,536 bytes, sha256 {'1' * 64}",
    ):  # fmt: skip
        assert part in text, part
    assert "\x1b" not in ended.out
    assert "revision" not in text


def test_a_model_of_which_nothing_was_demanded_says_so(corral: Corral, home: Home) -> None:
    put_receipt(home, make_receipt(readmitted_from_store=True, asked_source="file:///other"))
    text = " ".join(corral("show", "m", "--home", str(home.root)).out.split())
    assert "level untrusted why Nothing was demanded" in text
    assert "Signed by" not in text
    assert "asked for file:///other" in text
    assert "from the store yes" in text
    assert "none the scanner had nothing to say" in text


def test_a_bom_names_the_receipt_that_it_was_made_from(corral: Corral, home: Home) -> None:
    put_receipt(home, make_receipt())
    place = ("--home", str(home.root))
    document = corral("show", "m", "--bom", *place).document
    signed = corral("show", "m", "--receipt", *place).document
    assert document["metadata"]["properties"] == [
        {"name": "corral:receipt_sha256", "value": signed["receipt_sha256"]}
    ]
    assert hashlib.sha256(signed["receipt"].encode()).hexdigest() == signed["receipt_sha256"]
    assert corral("show", "m", "--bom", "--receipt", *place).code == 2


def test_only_the_bom_loads_the_library_of_boms() -> None:
    program = "import sys, corral.cli.main, corral.cli.show; print('cyclonedx' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "False\n"
