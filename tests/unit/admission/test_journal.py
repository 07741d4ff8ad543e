"""The journal has what happened to models, and shows who changed it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.admission.audit import list_admissions, verify_admissions
from corral.admission.catalog_changes import put_rows, remove_entry
from corral.admission.journal import (
    REFUSALS,
    Entry,
    append_entry,
    journal_file,
    read_journal,
    refusals_noted,
)
from corral.admission.receipt import Receipt, sign_receipt
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from corral.pki.receipt_key import ensure_receipt_key, load_receipt_key
from tests.style.minted_codes import minted_codes
from tests.support.admitted_row import make_receipt, put_outdated, put_receipt

ROOT = Path(__file__).parents[3]


def admit(home: Home, name: str, **changes: object) -> Receipt:
    made = make_receipt(name=name, **changes)
    put_rows(home, [(made, *sign_receipt(made, load_receipt_key(home)))], how="pull")
    home.blobs.mkdir(parents=True, exist_ok=True)
    with home.blob(Digest(made.digest)).open("wb") as file:
        file.truncate(made.size_bytes)
    return made


def kinds(home: Home) -> list[tuple[str, str]]:
    return [(one.kind, one.where) for one in verify_admissions(home).discrepancies]


@pytest.mark.claim("STO-06")
def test_a_model_comes_is_refused_and_leaves(home: Home) -> None:
    made = admit(home, "m")
    with pytest.raises(CorralError), refusals_noted(home, "file:///x", "x") as attempt:
        attempt.sha256 = "e" * 64
        raise CorralError("scan_rejected", "no")
    with pytest.raises(CorralError), refusals_noted(home, "file:///x", "x"):
        raise CorralError("network_error", "says nothing about the model")
    remove_entry(home, "m")
    came, refused, left = list_admissions(home)
    assert (came.what, came.how, came.name, came.sha256) == ("admitted", "pull", "m", made.digest)
    assert (came.trust, came.source, came.uid >= 0) == (made.trust, made.source, True)
    assert (refused.what, refused.code, refused.sha256) == ("refused", "scan_rejected", "e" * 64)
    assert (left.what, left.how, left.sha256) == ("removed", "rm", made.digest)
    assert kinds(home) == []
    assert journal_file(home).stat().st_mode & 0o777 == 0o600
    assert journal_file(home).parent.stat().st_mode & 0o777 == 0o700


def test_receipts_of_before_the_journal_are_listed(home: Home) -> None:
    put_receipt(home, make_receipt(name="old"))
    (entry,) = list_admissions(home)
    assert (entry.name, entry.at, entry.uid) == ("old", 1_700_000_060, -1)
    admit(home, "new", digest="b" * 64)
    assert [entry.name for entry in list_admissions(home)] == ["old", "new"]


def edit(text: str) -> Callable[[list[bytes]], None]:
    """Change a word of the second line."""
    return lambda lines: lines.__setitem__(1, lines[1].replace(b"refused", text.encode()))


CHANGES: dict[str, tuple[Callable[[list[bytes]], object], list[str]]] = {
    "nothing": (lambda _: None, []),
    "a word": (edit("removed"), ["journal_signature", "journal_chain"]),
    "one taken out": (lambda lines: lines.pop(1), ["journal_chain"]),
    "one twice": (lambda lines: lines.insert(1, lines[1]), ["journal_chain"]),
    "two changed places": (lambda lines: lines.insert(1, lines.pop()), ["journal_chain"] * 2),
    "junk": (lambda lines: lines.insert(1, b"\xff junk"), ["journal_form", "journal_chain"]),
    "the first taken out": (lambda lines: lines.pop(0), ["journal_chain"]),
}


@pytest.mark.claim("STO-06")
@pytest.mark.parametrize(("change", "wanted"), CHANGES.values(), ids=CHANGES)
def test_a_changed_journal_shows(
    home: Home, change: Callable[[list[bytes]], object], wanted: list[str]
) -> None:
    for number in range(3):
        append_entry(home, Entry(at=number, what="refused", how="pull", name="n"))
    lines = journal_file(home).read_bytes().splitlines()
    change(lines)
    journal_file(home).write_bytes(b"\n".join(lines) + b"\n")
    assert [line.fault for line in read_journal(home) if line.fault] == wanted


@pytest.mark.claim("STO-06")
def test_a_line_signed_by_another_installation_is_none(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.secrets.mkdir(parents=True)
    ensure_receipt_key(other)
    append_entry(other, Entry(at=1, what="admitted", how="pull", name="n"))
    journal_file(home).parent.mkdir()
    journal_file(home).write_bytes(journal_file(other).read_bytes())
    assert kinds(home) == [("journal_signature", "line 1")]
    assert list_admissions(home) == []


def test_a_receipts_signature_is_no_line(home: Home) -> None:
    text, signature = sign_receipt(make_receipt(), load_receipt_key(home))
    journal_file(home).parent.mkdir()
    line = {"entry": text, "signature": signature.hex()}
    journal_file(home).write_text(json.dumps(line) + "\n")
    assert kinds(home) == [("journal_form", "line 1")]


def test_what_a_crash_left_half_written_is_told_and_stays(home: Home) -> None:
    append_entry(home, Entry(at=1, what="refused", how="pull", name="a"))
    with journal_file(home).open("ab") as file:
        file.write(b'{"entry": "half')
    append_entry(home, Entry(at=2, what="refused", how="pull", name="b"))
    assert kinds(home) == [("journal_form", "line 2")]
    assert [entry.name for entry in list_admissions(home)] == ["a", "b"]


@pytest.mark.claim("STO-06")
def test_rows_and_files_that_do_not_fit_are_told(home: Home) -> None:
    admit(home, "fits")
    admit(home, "no-file", digest="b" * 64)
    home.blob(Digest("b" * 64)).unlink()
    admit(home, "short", digest="c" * 64)
    home.blob(Digest("c" * 64)).write_bytes(b"x")
    put_outdated(home, "old-form")
    admit(home, "gone", digest="d" * 64)
    put_receipt(home, make_receipt(name="beside", digest="a" * 64, admitted_at=1 << 40))
    connection = sqlite3.connect(home.database)
    with connection:
        connection.execute("DELETE FROM models WHERE name = 'gone'")
        connection.execute("UPDATE models SET signature = x'00' WHERE name = 'fits'")
    connection.close()
    assert kinds(home) == [
        ("not_in_journal", "beside"), ("receipt_invalid", "fits"), ("blob_missing", "no-file"),
        ("receipt_outdated", "old-form"), ("blob_size", "short"), ("not_in_catalog", "gone"),
    ]  # fmt: skip


def test_without_a_journal_nothing_is_admitted_but_models_leave(home: Home) -> None:
    admit(home, "m")
    journal_file(home).unlink()
    journal_file(home).symlink_to("/dev/null")
    with pytest.raises(CorralError) as caught:
        admit(home, "n", digest="b" * 64)
    assert caught.value.code == "journal_not_written"
    journal_file(home).unlink()
    assert [entry.name for entry in list_admissions(home)] == ["m"]
    journal_file(home).mkdir()
    remove_entry(home, "m")
    journal_file(home).rmdir()
    assert list_admissions(home) == []


def test_every_verdict_on_a_model_is_a_refusal() -> None:
    minted = minted_codes(ROOT / "src" / "corral")
    denied = {code for code, carriers in minted.kinds.items() if "Denied" in carriers}
    assert denied <= REFUSALS
    assert not REFUSALS & {"network_error", "no_space", "name_taken", "policy_changed"}
