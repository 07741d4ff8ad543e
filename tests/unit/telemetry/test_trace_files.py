"""The files of traces: bounds, links, half lines, and a disk that refuses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.telemetry.timeline import Timeline
from corral.telemetry.trace_files import (
    LINE_BYTES,
    TraceWriter,
    follow_traces,
    list_trace_files,
    read_traces,
    trace_file,
)
from corral.telemetry.trace_log import TraceLog


def write(writer: TraceWriter, *lines: str) -> None:
    for line in lines:
        writer.write(line.encode() + b"\n")


def said(folder: Path) -> list[str]:
    return [line.decode() for line in read_traces(folder)]


@pytest.mark.claim("OBS-05")
def test_there_are_never_more_files_nor_larger_ones(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, files=3, file_bytes=30)
    for number in range(40):
        write(writer, f"line {number:04d}")
        assert len(list_trace_files(tmp_path)) <= 3
        assert all(path.stat().st_size <= 30 for path in tmp_path.iterdir())
    writer.close()
    assert said(tmp_path) == [f"line {number:04d}" for number in range(33, 40)]
    assert [oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == ["0o600"] * 3


def test_a_new_writer_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    for line in ("one", "two"):
        writer = TraceWriter(tmp_path, files=2)
        write(writer, line)
        writer.close()
    assert list_trace_files(tmp_path) == [1]
    with trace_file(tmp_path, 1).open("ab") as torn:
        torn.write(b'{"half')
    write(TraceWriter(tmp_path, files=2), "three")
    assert said(tmp_path) == ["one", "two", "three"]
    write(TraceWriter(tmp_path, files=2, file_bytes=3), "four")
    assert list_trace_files(tmp_path) == [2, 3]


@pytest.mark.claim("OBS-05")
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_what_is_no_plain_file_is_neither_written_nor_read(tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    other.write_text("secret\n")
    folder = tmp_path / "state"
    folder.mkdir()
    place = trace_file(folder, 1)
    if kind in {"link", "dangling"}:
        place.symlink_to(other if kind == "link" else tmp_path / "none")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(CorralError) as refused:
        said(folder)
    assert refused.value.code == "traces_unsafe"
    write(TraceWriter(folder, files=4), "mine")
    assert trace_file(folder, 2).read_text() == "mine\n"
    assert other.read_text() == "secret\n"
    assert not (tmp_path / "none").exists()
    write(TraceWriter(folder, files=1, file_bytes=1), "next")
    if kind != "folder":  # which cannot be removed like a file
        assert said(folder) == ["next"]


@pytest.mark.claim("OBS-05")
def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = TraceWriter(tmp_path, files=2)
    write(writer, "one")
    real = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) > 2:
            return real(fd, data[:2])
        raise OSError(28, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(OSError, match="no room"):
            write(writer, "two")
        assert trace_file(tmp_path, 1).read_text() == "one\n"
        patch.setattr(os, "ftruncate", lambda fd, _: half(fd, b""))
        with pytest.raises(OSError, match="no room"):
            write(writer, "three")
    write(writer, "four")
    assert said(tmp_path) == ["one", "four"]
    assert list_trace_files(tmp_path) == [1, 2]


def test_lines_without_end_or_bound_are_left_out(tmp_path: Path) -> None:
    trace_file(tmp_path, 1).write_bytes(b"a\n" + b"x" * (3 * LINE_BYTES) + b"\nb\nc")
    assert said(tmp_path) == ["a", "b"]
    assert said(tmp_path / "none") == []


def test_following_goes_over_to_the_next_file(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, files=5, file_bytes=8)
    write(writer, "old")
    seen: list[bytes] = []
    lines = follow_traces(tmp_path, poll_s=0.01)

    def follow() -> None:
        for line in lines:
            seen.append(line)
            if line == b"end":
                return

    thread = threading.Thread(target=follow, daemon=True)
    started = threading.Timer(0.1, lambda: write(writer, "one", "two", "three", "end"))
    thread.start()
    started.start()
    thread.join(20)
    assert seen == [b"one", b"two", b"three", b"end"]


def timeline(number: int = 0, done: Callable[[Timeline], None] = lambda _: None) -> Timeline:
    line = Timeline("GET", "/v1/models", f"req_{number}", done)
    line.end("ok")
    return line


@pytest.mark.claim("OBS-05")
def test_a_queue_that_is_full_drops_and_counts(tmp_path: Path) -> None:
    going = threading.Event()

    class Held(TraceWriter):
        def write(self, line: bytes) -> None:
            assert going.wait(30)
            super().write(line)

    log = TraceLog(Held(tmp_path, files=1))
    for number in range(3000):
        log.add(timeline(number))  # never waits for the disk
    going.set()
    log.close()
    written = len(said(tmp_path))
    assert 1024 <= written <= 1100
    assert log.dropped == {"queue": 3000 - written, "pace": 0, "write": 0}
    log.add(timeline())
    assert log.dropped["queue"] == 3001 - written, "after its end there is no room"


@pytest.mark.claim("OBS-05")
def test_a_failing_disk_is_said_once_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = TraceLog(TraceWriter(tmp_path / "none", files=1))
    for number in range(5):
        log.add(timeline(number))
    log.leave_out()
    log.close()
    assert log.dropped == {"queue": 0, "pace": 1, "write": 5}
    assert capsys.readouterr().err.count("traces_not_written") == 1
