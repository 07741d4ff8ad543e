"""Attacks on the files of an audit chain: each is seen, wherever it is done."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corral.audit.appender import Appender
from corral.audit.heads import Head
from corral.audit.record import Record, line_of, name_of, parse_line, sealed
from tests.support.audit_chain import BEGIN, END, NEVER, Written, event, seal_head


def _changed(value: object) -> object:
    if isinstance(value, bool) or value is None:
        return 1
    if isinstance(value, int):
        return value + 1
    if isinstance(value, dict):
        return {**value, "more": "x"}
    assert isinstance(value, str)
    if value in {"gateway", "operator"}:
        return "operator" if value == "gateway" else "gateway"
    return ("b" if value[:1] == "a" else "a") + value[1:]


@pytest.mark.claim("AUD-01")
def test_an_untouched_chain_has_no_fault_and_every_kind(written: Written) -> None:
    report = written.verify()
    assert report.faults == []
    assert (report.first, report.last, report.sealed) == (3, written.head.seq, written.head.seq)
    (gap,) = report.gaps  # the crash, whose unsigned record is named
    (unsealed,) = [
        r.seq for r in map(parse_line, written.lines()) if r is not None and r.id == "unsealed"
    ]
    assert (gap.first, gap.last, gap.lost_bytes) == (unsealed, unsealed, 0)
    kinds = {record.kind for line in written.lines() if (record := parse_line(line))}
    assert kinds == {"open", "begin", "end", "request", "more", "retired", "stop", "seal"}


@pytest.mark.claim("AUD-01")
def test_every_field_of_every_record_is_covered(written: Written) -> None:
    lines = written.lines()
    tried = 0
    for number, line in enumerate(lines):
        document = json.loads(line)
        spare = {"count": 3} if "count" not in document else {}
        for field, value in {**document, **spare}.items():
            forged = dict(document)
            if field == "kind":
                forged[field] = "end" if value != "end" else "begin"
            elif field == "signature":
                forged[field] = msgspec.json.decode(msgspec.json.encode(b"x" * 64))
            else:
                forged[field] = _changed(value) if field in document else 3
            # In its one form, as the writer would have put it, so that the form does not tell.
            changed = line_of(msgspec.convert(forged, Record))
            assert changed != line
            written.put([*lines[:number], changed, *lines[number + 1 :]])
            assert written.kinds(), (number, field)
            tried += 1
    assert tried > 100


@pytest.mark.claim("AUD-01")
def test_every_line_taken_out_doubled_or_swapped(written: Written) -> None:
    lines = written.lines()
    for number, line in enumerate(lines):
        written.put([*lines[:number], *lines[number + 1 :]])
        assert written.kinds(), number
        written.put([*lines[:number], line, line, *lines[number + 1 :]])
        assert written.kinds(), number
    for number, (one, two) in enumerate(pairwise(lines)):
        written.put([*lines[:number], two, one, *lines[number + 2 :]])
        assert written.kinds(), number


@pytest.mark.claim("AUD-01")
def test_every_byte_matters(written: Written) -> None:
    for file in written.files():
        raw = bytearray(file.read_bytes())
        for place in range(0, len(raw), 7):
            raw[place] ^= 1
            file.write_bytes(raw)
            assert written.kinds(), place
            raw[place] ^= 1
        file.write_bytes(raw)
    assert written.kinds() == set()


@pytest.mark.claim("AUD-02")
def test_cut_off_at_every_line(written: Written) -> None:
    lines = written.lines()
    for number in range(len(lines)):
        written.put(lines[:number])
        assert "audit_truncated" in written.kinds(), number
    # The control: without what was seen elsewhere, a chain that was cut at a seal is a whole one.
    ends = [n for n, line in enumerate(lines) if (r := parse_line(line)) and r.kind == "seal"]
    written.put(lines[: ends[1] + 1])
    early = parse_line(lines[ends[1]])
    assert early is not None
    older = Head(early.seq, name_of(lines[ends[1]]), lines[ends[1]])
    assert written.kinds(head=older) == set()
    assert written.kinds(written.head, head=older) == {
        "audit_truncated"
    }  # the operator had seen it


@pytest.mark.claim("AUD-02")
def test_files_that_are_gone(written: Written) -> None:
    first, second = written.files()
    kept = first.read_bytes()
    first.unlink()
    assert "audit_segment_missing" in written.kinds()
    first.write_bytes(kept)
    second.unlink()
    assert written.kinds() == {"audit_truncated"}
    first.unlink()
    assert written.kinds() == {"audit_truncated"}


@pytest.mark.claim("AUD-01")
def test_who_rewrites_it_with_the_gateways_key_meets_what_the_operator_has_seen(
    written: Written,
) -> None:
    lines, seals = written.lines(), []
    name = parse_line(lines[0]).prev  # type: ignore[union-attr]
    forged = []
    for line in lines:
        record = parse_line(line)
        assert record is not None
        record = msgspec.structs.replace(
            record, prev=name, tenant="other" if record.tenant else "",
            head_seq=0 if record.kind == "open" else record.head_seq,
            head="" if record.kind == "open" else record.head,
        )  # fmt: skip
        if record.kind == "seal":
            record = sealed(record, written.key)
            seals.append(Head(record.seq, name_of(line_of(record)), line_of(record)))
        forged.append(line_of(record))
        name = name_of(forged[-1])
    written.put(forged)
    # The control: the database is the gateway's to write, so that it says what the forger wants.
    assert written.kinds(head=seals[-1]) == set()
    assert written.kinds(written.head, head=seals[-1]) == {"audit_chain"}
    assert written.kinds() == {"audit_chain"}  # and without the database's help


@pytest.mark.claim("AUD-01")
def test_what_another_key_has_signed(written: Written) -> None:
    stranger = Ed25519PrivateKey.generate()
    lines = written.lines()
    last = parse_line(lines[-1])
    assert last is not None
    forged = line_of(sealed(last, stranger))
    written.put([*lines[:-1], forged])
    head = Head(last.seq, name_of(forged), forged)
    assert written.kinds(head=head) == {"audit_signature", "audit_head"}
    garbage = Head(-1, name_of(b"{"), b"{")
    assert "audit_head" in written.kinds(head=garbage)
    assert written.kinds(head=Head()) == {"audit_signature", "audit_head"}


@pytest.mark.claim("AUD-03")
@pytest.mark.parametrize("lost", [1, 40, 250])
def test_a_crash_in_the_middle_of_a_record_is_no_attack(
    written: Written, signer: Ed25519PrivateKey, lost: int
) -> None:
    file = written.files()[-1]
    with file.open("ab") as out:
        out.write(line_of(BEGIN)[:lost])
    assert written.kinds() == set()
    assert written.verify().gaps[-1].lost_bytes == lost
    again = Appender(written.folder, "gateway", signer, NEVER, written.head)
    again.write([END], durable=True, seal=True)
    again.close()
    assert again.seq == written.head.seq + 3
    assert written.kinds(head=seal_head(again)) == set()
    # The control: bytes that were not there when the next process began are no crash.
    with file.open("ab") as out:
        out.write(b"x")
    assert written.kinds(head=seal_head(again)) == {"audit_form"}


def test_a_segment_of_a_crash_may_be_empty(written: Written, signer: Ed25519PrivateKey) -> None:
    (written.folder / "audit-gateway-00000004.jsonl").touch()
    again = Appender(written.folder, "gateway", signer, NEVER, written.head)
    again.write([END], durable=True, seal=True)
    again.close()
    assert written.files()[-1].name == "audit-gateway-00000005.jsonl"
    assert written.kinds(head=seal_head(again)) == set()


def test_a_link_is_not_followed(written: Written, tmp_path: Path) -> None:
    file = written.files()[-1]
    kept = tmp_path / "kept"
    file.rename(kept)
    file.symlink_to(kept)
    with pytest.raises(OSError, match="symbolic link"):
        written.verify()


def test_nothing_yet(tmp_path: Path, signer: Ed25519PrivateKey) -> None:
    report = Written(tmp_path / "none", signer, Head()).verify()
    assert (report.last, report.faults, report.gaps) == (0, [], [])


def test_a_failed_write_leaves_nothing_of_its_batch(
    tmp_path: Path, signer: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Appender(tmp_path, "gateway", signer, NEVER, Head())
    chain.write([BEGIN], durable=True)

    def refuse(fd: int) -> None:
        raise OSError(28, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse)
        with pytest.raises(OSError, match="no space"):
            chain.write([event(id="never")], durable=True)
    chain.write([END], durable=True, seal=True)
    chain.close()
    whole = Written(tmp_path, signer, seal_head(chain))
    assert whole.kinds() == set()
    assert b"never" not in b"".join(whole.lines())


def test_a_segment_that_cannot_be_begun_leaves_no_number_out(
    tmp_path: Path, signer: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Appender(tmp_path, "gateway", signer, replace(NEVER, segment_bytes=1), Head())
    chain.write([BEGIN], durable=True)

    def refuse(*arguments: object, **options: object) -> int:
        raise OSError(24, "too many open files")

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            with pytest.raises(OSError, match="too many open files"):
                chain.write([END], durable=True)
    chain.write([END], durable=True, seal=True)
    chain.close()
    assert Written(tmp_path, signer, seal_head(chain)).kinds() == set()
