"""The launcher picks the tier by these marks: a blob's least trusted genuine receipt decides."""

from __future__ import annotations

import sqlite3
import stat

import pytest

from corral.admission.catalog_changes import put_rows, remove_entry
from corral.admission.quarantine import sweep_quarantine
from corral.admission.receipt import sign_receipt
from corral.admission.trust_level import Trust
from corral.admission.trust_marks import write_trust_marks
from corral.core.home import Home
from corral.pki.receipt_key import load_receipt_key
from tests.support.admitted_row import make_receipt


def admit(home: Home, name: str, trust: Trust, digest: str = "a" * 64) -> None:
    made = make_receipt(name=name, trust=trust, digest=digest, decided_at=1 << 33)
    put_rows(home, [(made, *sign_receipt(made, load_receipt_key(home)))], how="pull")


def marks(home: Home) -> dict[str, str]:
    write_trust_marks(home)
    return {mark.name[0]: mark.read_text() for mark in home.trust_marks.iterdir()}


@pytest.mark.claim("HOST-03")
def test_the_least_trusted_receipt_of_a_blob_decides(home: Home) -> None:
    admit(home, "one", "verified")
    assert marks(home) == {"a": "verified"}
    admit(home, "two", "untrusted")
    admit(home, "three", "trusted", "b" * 64)
    assert marks(home) == {"a": "untrusted", "b": "trusted"}
    remove_entry(home, "two")
    assert {m.name[0]: m.read_text() for m in home.trust_marks.iterdir()} == {
        "a": "verified", "b": "trusted",
    }  # fmt: skip
    remove_entry(home, "one")
    assert marks(home) == {"b": "trusted"}
    (mark,) = home.trust_marks.iterdir()
    assert stat.S_IMODE(mark.stat().st_mode) == 0o444


@pytest.mark.claim("HOST-03")
def test_the_gateway_cannot_raise_a_level(home: Home) -> None:
    """It can write the database, but a row counts only with a genuine receipt about itself."""
    admit(home, "one", "untrusted")
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE models SET trust = 'trusted'")
    connection.close()
    assert marks(home) == {"a": "untrusted"}
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE models SET receipt = replace(receipt, 'untrusted', 'trusted')")
    connection.close()
    assert marks(home) == {}  # and a blob without a mark is untrusted


def test_a_start_repairs_what_was_lost(home: Home) -> None:
    admit(home, "one", "verified")
    home.trust_marks.mkdir(parents=True)
    (home.trust_marks / ("c" * 64)).write_text("trusted")
    sweep_quarantine(home)
    assert {m.name[0]: m.read_text() for m in home.trust_marks.iterdir()} == {"a": "verified"}


def test_without_a_receipt_key_nothing_is_trusted(home: Home) -> None:
    admit(home, "one", "verified")
    home.receipt_public_key.unlink()
    assert marks(home) == {}
