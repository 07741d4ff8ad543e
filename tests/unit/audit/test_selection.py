"""The newest records of a chain, page by page, without reading all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.audit import selection
from corral.audit.record import Record, line_of
from corral.audit.segments import segment_file
from corral.audit.selection import Wanted, newest_records


def record(seq: int, tenant: str = "acme") -> Record:
    return Record(
        chain="gateway", seq=seq, prev="", at_ms=seq, kind="request", id=f"r{seq}", tenant=tenant,
        arguments={"x": "y" * (seq * 37 % 300)},
    )  # fmt: skip


def write(folder: Path, segments: list[int]) -> int:
    """Write segments of so many records; return the number of the last one."""
    seq = 0
    for number, count in enumerate(segments, 1):
        lines = []
        for _ in range(count):
            seq += 1
            lines.append(line_of(record(seq, "bolt" if seq % 3 else "acme")) + b"\n")
        segment_file(folder, "gateway", number).write_bytes(b"".join(lines))
    return seq


def pages(folder: Path, limit: int, wanted: Wanted) -> list[list[int]]:
    found, before = [], 0
    while True:
        page = newest_records(folder, "gateway", wanted, limit=limit, before=before)
        assert not before or page.before < before, "each page goes on"
        found.append([one.seq for one in page.records])
        before = page.before
        if not before:
            return found


@settings(max_examples=40)
@given(
    segments=st.lists(st.integers(0, 30), max_size=4),
    limit=st.integers(1, 40),
    look=st.integers(1, 20_000),
    block=st.integers(600, 5_000),
    tenant=st.sampled_from(["", "acme"]),
)
def test_pages_together_are_the_chain(
    tmp_path_factory: pytest.TempPathFactory, segments: list[int], limit: int, look: int,
    block: int, tenant: str,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("chain")
    last = write(folder, segments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "_LOOK_BYTES", look)
        patch.setattr(selection, "_BLOCK_BYTES", block)
        found = pages(folder, limit, Wanted(tenant=tenant))
    assert all(len(one) <= limit for one in found)
    assert [seq for one in reversed(found) for seq in one] == [
        seq for seq in range(1, last + 1) if not tenant or not seq % 3
    ]


def test_little_is_read_however_long_the_chain_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = write(tmp_path, [3000, 3000])
    monkeypatch.setattr(selection, "_LOOK_BYTES", 20_000)
    monkeypatch.setattr(selection, "_BLOCK_BYTES", 10_000)
    parsed = []
    real = selection.parse_line

    def count(line: bytes) -> Record | None:
        parsed.append(line)
        return real(line)

    monkeypatch.setattr(selection, "parse_line", count)
    for before in (0, 4500, 1500):
        parsed.clear()
        page = newest_records(tmp_path, "gateway", Wanted(tenant="nobody"), limit=5, before=before)
        assert page.records == []
        assert 0 < page.before < (before or last)
        assert sum(map(len, parsed)) < 60_000


def test_what_is_no_record_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, [5])
    file = segment_file(tmp_path, "gateway", 1)
    file.write_bytes(file.read_bytes() + b"x" * 300_000 + b"\n" + line_of(record(6)) + b"\n{")
    assert [one for page in pages(tmp_path, 2, Wanted()) for one in page][:2] == [5, 6]
