from __future__ import annotations

import json
import threading
import time
from pathlib import Path

from corral.cli.logs import last_lines, new_lines, pretty_line
from corral.core.home import Home
from tests.support.command_line import Corral


def written(home: Home, count: int) -> None:
    home.log_file.parent.mkdir(parents=True, exist_ok=True)
    with home.log_file.open("w") as log:
        for number in range(count):
            log.write(json.dumps({"ts": "T", "level": "info", "event": f"e{number}"}) + "\n")


def test_last_lines(corral: Corral, tmp_path: Path) -> None:
    written(Home(tmp_path), 60)
    place = ("--home", str(tmp_path))
    assert len(corral("logs", *place).out.splitlines()) == 50
    assert corral("logs", "-n", "1", *place).out.split() == ["T", "info", "e59"]
    assert corral("logs", "-n", "0", *place).out == ""
    assert json.loads(corral("logs", "-n", "1", "--json", *place).out)["event"] == "e59"


def test_no_log(corral: Corral, tmp_path: Path) -> None:
    assert "no_log" in corral("logs", "--home", str(tmp_path)).err


def test_pretty_line_is_safe() -> None:
    line = json.dumps({"event": "x", "level": "warning", "model": "\x1b[2Jm\ny"}).encode()
    assert pretty_line(line) == "warning x model=[2Jm y"
    assert pretty_line(b"\xff not json \x1b") == "\ufffd not json"
    assert pretty_line(b"[1]") == "[1]"


def test_following_survives_rotation_and_truncation(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    seen: list[bytes] = []

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + 10
        while len(seen) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(seen) == count

    def follow() -> None:
        with log.open("rb") as source:
            assert last_lines(source, 5) == [b"one"]
            started.set()
            for line in new_lines(log, source):
                seen.append(line)
                if line == b"end":
                    return

    started = threading.Event()
    thread = threading.Thread(target=follow)
    thread.start()
    started.wait(5)
    with log.open("ab") as more:
        more.write(b"two\nhalf")
        more.flush()
        wait_for(1)
        more.write(b"-whole\n")
    wait_for(2)
    log.rename(tmp_path / "log.1")
    log.write_bytes(b"rotated\n")
    wait_for(3)
    log.write_bytes(b"")
    time.sleep(0.5)
    log.write_bytes(b"end\n")
    thread.join(10)
    assert seen == [b"two", b"half-whole", b"rotated", b"end"]
