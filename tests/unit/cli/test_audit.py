"""`corral audit` as a person uses it."""

from __future__ import annotations

from corral.admission.journal import Entry, append_entry, journal_file
from corral.core.home import Home
from tests.support.admitted_row import make_receipt, put_receipt
from tests.support.command_line import Corral

LONG = f"hf://o/r/{'f' * 150}.gguf"


def test_a_list(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    assert "nothing was admitted" in corral("audit", "list", *place).err
    put_receipt(home, make_receipt(name="old"))
    append_entry(home, Entry(
        at=1_800_000_000, what="refused", how="pull", name="bad\x1b[31m", source=LONG,
        code="scan_rejected",
    ))  # fmt: skip
    shown = corral("audit", "list", *place)
    assert (shown.code, "\x1b[31m" in shown.out) == (0, False)
    assert "admit" in shown.out
    # Nothing is folded, however long: what is copied from a line is whole.
    assert any(line.endswith(LONG) for line in shown.out.splitlines())
    first, second = corral("audit", "list", "--json", *place).document
    assert (first["name"], first["time"]) == ("old", "2023-11-14T22:14:20Z")
    assert (second["what"], second["code"]) == ("refused", "scan_rejected")
    (only,) = corral("audit", "list", "--json", "--model", "old", *place).document
    assert only == first


def test_verify_and_its_exit_codes(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    fits = corral("audit", "verify", *place)
    assert (fits.code, "all fits" in fits.err) == (0, True)
    put_receipt(home, make_receipt(name="old"))
    found = corral("audit", "verify", "--json", *place)
    assert found.code == 1
    assert [one["kind"] for one in found.document["discrepancies"]] == ["blob_missing"]
    assert found.document["receipts"] == 1
    assert "blob_missing" in corral("audit", "verify", *place).out
    journal_file(home).mkdir(parents=True)
    assert corral("audit", "verify", *place).code == 2
    journal_file(home).rmdir()
    home.receipt_public_key.unlink()
    ended = corral("audit", "verify", "--json", *place)
    assert (ended.code, ended.error_code) == (2, "receipt_key_missing")
