"""Two pulls of one source at the same time: real processes, one download."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from corral.admission.landing import Landing, landed_since, next_landing, note_landing
from corral.admission.provenance import Provenance
from corral.admission.source import HttpsSource
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.download_server import DownloadServer, Page
from tests.support.gguf_file import F32, GgufFile, scalar
from tests.unit.admission.conftest import Pull, reaching

BODY = GgufFile().encode()
OTHER = GgufFile().with_value("x.y", scalar(F32, 1.5)).encode()
SHA = hashlib.sha256(BODY).hexdigest()


class Pulling:
    """A pull in a process of its own."""

    def __init__(self, home: Home, server: DownloadServer, name: str, *sha256: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.pulling", str(home.root),
             server.url("/far.gguf"), name, server.host, *sha256],
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def until(self, stage: str) -> dict[str, Any]:
        """Return the first word about a stage in which something has moved."""
        return next(w for w in self.words() if w.get("stage") == stage and w["done"])

    def words(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def end(self) -> dict[str, Any]:
        """Return how it ended."""
        *_, last = self.words()
        assert self.process.wait(30) == 0
        return last

    def kill(self) -> None:
        """End it with all its jobs, without a word."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def pulling(*arguments: Any) -> Iterator[Pulling]:
    one = Pulling(*arguments)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.kill()
        assert one.process.stdout is not None
        one.process.stdout.close()


@pytest.fixture
def gate(server: DownloadServer) -> Iterator[threading.Event]:
    """The second half of the file comes when it is set."""
    event = threading.Event()
    server.pages["/far.gguf"] = Page(BODY, gate=event, headers={"ETag": '"1"'})
    yield event
    event.set()


def downloads(server: DownloadServer) -> int:
    return sum(path == "/far.gguf" for path, _ in server.requests)


@pytest.mark.claim("ADM-43")
def test_the_second_shares_the_download_and_checks_it_itself(
    home: Home, server: DownloadServer, gate: threading.Event
) -> None:
    with pulling(home, server, "one") as first:
        first.until("fetch")
        with (
            pulling(home, server, "two") as second,
            pulling(home, server, "three", "0" * 64) as third,
        ):
            waited = second.until("wait")
            assert 0 < waited["done"] < waited["total"] == len(BODY)
            third.until("wait")
            gate.set()
            ends = [first.end(), second.end(), third.end()]
    assert [end.get("digest") for end in ends] == [SHA, SHA, None]
    # What the third demands is something else.
    assert ends[2] == {"code": "hash_mismatch"}
    assert downloads(server) == 1
    assert ends[0]["fetched_at"] == ends[1]["fetched_at"]


@pytest.mark.claim("ADM-43")
def test_a_first_that_is_killed_gives_its_place_up(
    home: Home, server: DownloadServer, gate: threading.Event
) -> None:
    with pulling(home, server, "one") as first:
        first.until("fetch")
        with pulling(home, server, "two") as second:
            second.until("wait")
            first.kill()
            gate.set()
            assert second.end()["digest"] == SHA
    assert downloads(server) == 2


@pytest.mark.claim("ADM-43")
def test_a_first_that_fails_does_not_spoil_the_second(
    home: Home, server: DownloadServer, gate: threading.Event
) -> None:
    with pulling(home, server, "one", "0" * 64) as first:
        first.until("fetch")
        with pulling(home, server, "two") as second:
            second.until("wait")
            gate.set()
            assert first.end() == {"code": "hash_mismatch"}
            assert second.end()["digest"] == SHA
    assert downloads(server) == 2


@pytest.mark.claim("ADM-43")
def test_what_was_brought_before_is_not_taken_for_what_is_there_now(
    home: Home, pull: Pull, server: DownloadServer
) -> None:
    server.pages["/far.gguf"] = Page(BODY)
    url = server.url("/far.gguf")
    pull(url, config=reaching(server), name="one")
    server.pages["/far.gguf"] = Page(OTHER)
    assert pull(url, config=reaching(server), name="two").digest != SHA


def test_notes_of_downloads(home: Home) -> None:
    source, other = HttpsSource("https://h/m?key=S3CRET"), HttpsSource("https://h/m?key=2")
    assert (next_landing(home), landed_since(home, source, 1)) == (1, None)
    for _ in range(40):
        note_landing(home, source, Provenance(str(source)), Digest(SHA), 5)
    found = landed_since(home, source, 40)
    assert isinstance(found, Landing)
    assert (found.number, found.provenance) == (40, Provenance(str(source)))
    assert landed_since(home, source, 41) is landed_since(home, other, 1) is None
    (note,) = home.run.iterdir()
    assert b"S3CRET" not in note.read_bytes()
    assert len(json.loads(note.read_bytes())["last"]) == 32
    note.write_bytes(b"{")
    assert (next_landing(home), landed_since(home, source, 1)) == (1, None)
