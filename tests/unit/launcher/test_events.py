from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from corral.launcher.events import EventLog


def test_events_are_json_lines_that_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "log" / "corral.log"
    path.parent.mkdir()
    path.write_text('{"event": "before"}\n')
    log = EventLog(path)
    log.write("jail_started", worker_id=3, kind="scan")
    before, line = path.read_text().splitlines()
    record = json.loads(line)
    assert json.loads(before) == {"event": "before"}
    assert record.pop("ts").endswith("Z")
    assert record == {
        "level": "info", "module": "launcher", "event": "jail_started", "worker_id": 3,
        "kind": "scan",
    }  # fmt: skip
    os.close(log.fd)


def test_the_file_is_not_for_others_and_not_inherited(tmp_path: Path) -> None:
    path = tmp_path / "log" / "corral.log"
    log = EventLog(path)
    assert not stat.S_IMODE(path.stat().st_mode) & 0o027
    assert not os.get_inheritable(log.fd)
    os.close(log.fd)


def test_a_full_disk_does_not_stop_the_launcher(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "corral.log")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log.fd)
    log.write("jail_started")
    os.close(full)
    os.close(log.fd)
