"""Only rows with a valid receipt about themselves are models."""

import sqlite3
from pathlib import Path

import pytest

from corral.admission.catalog import Catalog, entry_of
from corral.admission.catalog_changes import put_rows
from corral.admission.receipt import Receipt, sign_receipt, verify_receipt
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.receipt_key import ensure_receipt_key, load_receipt_key
from tests.support.admitted_row import make_receipt, put_outdated


def receipt(name: str = "m") -> Receipt:
    return make_receipt(name=name)


def admit(home: Home, name: str = "m") -> None:
    made = receipt(name)
    put_rows(home, [(made, *sign_receipt(made, load_receipt_key(home)))], how="pull")


def catalog(home: Home) -> Catalog:
    return Catalog(home.database, home.receipt_public_key.read_bytes())


def execute(home: Home, sql: str) -> None:
    connection = sqlite3.connect(home.database)
    with connection:
        connection.execute(sql)
    connection.close()


def test_changes_are_seen_at_once(home: Home) -> None:
    reading = catalog(home)
    assert reading.lookup("m") is None
    admit(home)
    assert reading.lookup("m") == entry_of(receipt())
    execute(home, "DELETE FROM models")
    assert reading.lookup("m") is None
    reading.close()


@pytest.mark.claim("ADM-06")
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE models SET name = 'other'",
        "UPDATE models SET receipt = replace(receipt, 'untrusted', 'verified')",
        "UPDATE models SET receipt = '{}'",
        "UPDATE models SET signature = zeroblob(64)",
        "UPDATE models SET signature = x''",
    ],
)
def test_a_row_that_was_tampered_with_is_no_model(
    home: Home, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    admit(home, "m")
    admit(home, "good")
    execute(home, change + " WHERE name = 'm'")
    noted: list[tuple[str, str]] = []
    changed = Catalog(
        home.database, home.receipt_public_key.read_bytes(), note=lambda *one: noted.append(one)
    )
    assert set(changed.entries()) == {"good"}
    assert list(changed.faults().values()) == ["receipt_invalid"]
    assert noted == list(changed.faults().items())
    catalog(home).entries()
    assert capsys.readouterr() == ("", ""), "commands say it in words of their own"


def test_a_signed_receipt_of_another_form_is_a_fault_of_its_own(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    put_outdated(home, "old")
    found = catalog(home)
    assert (dict(found.entries()), dict(found.faults())) == ({}, {"old": "receipt_outdated"})


@pytest.mark.claim("ADM-06")
def test_columns_beside_the_receipt_do_not_count(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    admit(home)
    execute(home, "UPDATE models SET digest = printf('%064d', 0), trust = 'trusted'")
    entry = catalog(home).lookup("m")
    assert entry is not None
    assert (entry.digest, entry.trust) == ("a" * 64, "untrusted")


@pytest.mark.claim("ADM-06")
def test_another_key_verifies_nothing(home: Home, tmp_path: Path) -> None:
    text, signature = sign_receipt(receipt(), load_receipt_key(home))
    assert verify_receipt(home.receipt_public_key.read_bytes())(text, signature) == receipt()
    other = Home(tmp_path / "other")
    other.secrets.mkdir(parents=True)
    ensure_receipt_key(other)
    assert verify_receipt(other.receipt_public_key.read_bytes())(text, signature) is None


def test_a_bad_key_is_an_error(home: Home) -> None:
    for pem in (b"", b"junk", home.receipt_key.read_bytes()):
        with pytest.raises(CorralError) as caught:
            Catalog(home.database, pem)
        assert caught.value.code == "receipt_key_unreadable"
