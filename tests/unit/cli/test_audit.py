"""`corral audit` as a person uses it."""

from __future__ import annotations

import json
import os

import pytest

from corral.admission.journal import Entry, append_entry, journal_file
from corral.audit.operator import operator_folder
from corral.core.home import Home
from tests.support.admitted_row import make_receipt, put_receipt
from tests.support.command_line import Corral

LONG = f"hf://o/r/{'f' * 150}.gguf"


def test_a_list(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    assert "nothing was admitted" in corral("audit", "admissions", *place).err
    put_receipt(home, make_receipt(name="old"))
    append_entry(home, Entry(
        at=1_800_000_000, what="refused", how="pull", name="bad\x1b[31m", source=LONG,
        code="scan_rejected",
    ))  # fmt: skip
    shown = corral("audit", "admissions", *place)
    assert (shown.code, "\x1b[31m" in shown.out) == (0, False)
    assert "admit" in shown.out
    # Nothing is folded, however long: what is copied from a line is whole.
    assert any(line.endswith(LONG) for line in shown.out.splitlines())
    first, second = corral("audit", "admissions", "--json", *place).document
    assert (first["name"], first["time"]) == ("old", "2023-11-14T22:14:20Z")
    assert (second["what"], second["code"]) == ("refused", "scan_rejected")
    (only,) = corral("audit", "admissions", "--json", "--model", "old", *place).document
    assert only == first


def test_verify_and_its_exit_codes(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    fits = corral("audit", "verify", *place)
    assert (fits.code, "all fits" in fits.err) == (0, True)
    put_receipt(home, make_receipt(name="old"))
    found = corral("audit", "verify", "--json", *place)
    assert found.code == 1
    assert [one["chain"] for one in found.document["chains"]] == ["gateway", "operator"]
    assert [one["kind"] for one in found.document["discrepancies"]] == ["blob_missing"]
    assert found.document["receipts"] == 1
    assert "blob_missing" in corral("audit", "verify", *place).out
    journal_file(home).mkdir(parents=True)
    assert corral("audit", "verify", *place).code == 2
    journal_file(home).rmdir()
    home.receipt_public_key.unlink()
    ended = corral("audit", "verify", "--json", *place)
    assert (ended.code, ended.error_code) == (2, "receipt_key_missing")


@pytest.mark.claim("AUD-06")
def test_commands_are_on_record_and_cannot_be_taken_off_it(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    assert corral("tenant", "add", "acme", *place).code == 0
    assert corral("tenant", "add", "acme", *place).code == 1
    assert corral("key", "create", "acme", "--name", "two words", *place).code == 0
    assert corral("tenant", "list", *place).code == 0
    lines = [
        json.loads(line) for line in corral("audit", "tail", "--json", *place).out.splitlines()
    ]
    told = [(r["kind"], r["action"], r.get("code", "")) for r in lines]
    assert told == [
        ("begin", "tenant:add", ""), ("end", "tenant:add", "ok"),
        ("begin", "tenant:add", ""), ("end", "tenant:add", "tenant_exists"),
        ("begin", "key:create", ""), ("end", "key:create", "ok"),
    ]  # fmt: skip
    assert lines[4]["tenant"] == "acme"
    assert lines[4]["arguments"] == {"name": "?", "role": "user"}
    assert lines[4]["uid"] == os.geteuid()
    exported = corral("audit", "export", "--format", "syslog", "--tenant", "acme", *place)
    assert exported.out.count("[corral@32473 ") == 6
    assert corral("audit", "export", "--since", "2100-01-01", *place).out == ""
    assert "tenant_exists" in corral("audit", "tail", *place).out
    (segment,) = operator_folder(home).iterdir()
    assert corral("audit", "verify", *place).code == 0
    kept = segment.read_bytes()
    segment.write_bytes(kept.replace(b"tenant_exists", b"tenant_exist5"))
    found = corral("audit", "verify", "--json", *place)
    assert "audit_chain" in {one["kind"] for one in found.document["discrepancies"]}
    segment.write_bytes(b"".join(kept.splitlines(keepends=True)[:4]))
    found = corral("audit", "verify", "--json", *place)
    assert "audit_truncated" in {one["kind"] for one in found.document["discrepancies"]}


@pytest.mark.claim("AUD-06")
def test_what_cannot_be_written_down_is_not_done(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    operator_folder(home).touch()
    refused = corral("tenant", "add", "acme", "--json", *place)
    assert (refused.code, refused.error_code) == (1, "audit_not_written")
    operator_folder(home).unlink()
    listed = corral("tenant", "list", "--json", *place).document
    assert "acme" not in [tenant["name"] for tenant in listed]
    assert corral("tenant", "add", "acme", *place).code == 0  # the control
