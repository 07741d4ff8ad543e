"""A receipt, and its row in a catalog without any blob: for what only reads receipts."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import msgspec

from corral.admission.receipt import RECEIPT_CONTEXT, Receipt, sign_receipt
from corral.admission.redecision import decided_anew
from corral.core.home import Home
from corral.pki.receipt_key import load_receipt_key
from tests.support.memory_shapes import SMALL, SMALL_ESTIMATE
from tests.support.policies import DECIDED, DEFAULT
from tests.support.served_template import SERVED


def make_receipt(*, decided_at: int = 1_700_000_060, **changes: object) -> Receipt:
    """Return a receipt of a local file of which nothing was demanded, by the shipped policy."""
    plain = Receipt(
        name="m", digest="a" * 64, size_bytes=1536, trust="untrusted", source="file:///m.gguf",
        final_url="", wheel_sha256="", revision="", sha256_demanded=False,
        wheel_sha256_demanded=False, scanner="corral-scan 4", findings=(), procedure="p",
        engine="xllamacpp 1", architecture="llama", quantisation="Q8_0", parameters=1000,
        block_count=2, vocabulary_tokens=32, memory=SMALL, estimate=SMALL_ESTIMATE,
        context_train_tokens=2048, has_chat_template=True, control_tokens=("<s>",),
        template=SERVED, decision=DECIDED, fetched_at=1_700_000_000, admitted_at=1_700_000_060,
    )  # fmt: skip
    found = msgspec.structs.replace(plain, **changes)
    if "decision" not in changes:
        decided = decided_anew(found, DEFAULT, now_s=decided_at)
        found = msgspec.structs.replace(found, decision=decided.decision)
    return found


def put_receipt(home: Home, receipt: Receipt) -> None:
    """Sign a receipt with the installation's key and write its row."""
    text, signature = sign_receipt(receipt, load_receipt_key(home))
    put_signed(home, receipt, text, signature)


def put_outdated(home: Home, name: str) -> None:
    """Write the row of a receipt that is signed, but has a field that nobody knows."""
    receipt = make_receipt(name=name)
    text = json.dumps(msgspec.to_builtins(receipt) | {"of_another_version": 1})
    signature = load_receipt_key(home).sign(RECEIPT_CONTEXT + text.encode())
    put_signed(home, receipt, text, signature)


def put_signed(home: Home, receipt: Receipt, text: str, signature: bytes) -> None:
    """Write the row of a receipt with whatever text and signature."""
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute(
            "INSERT INTO models (name, digest, size_bytes, trust, source, admitted_at, receipt, "
            "signature, identity, adapter) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                receipt.name, receipt.digest, receipt.size_bytes, receipt.trust, receipt.source,
                receipt.admitted_at, text, signature, receipt.identity,
                receipt.laid.digest if receipt.laid else None,
            ),
        )  # fmt: skip
