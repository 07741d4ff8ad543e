"""A large file by several connections: what is asked, what is refused, what is left for later."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from corral.admission.fetch.destination import Destinations
from corral.admission.fetch.download import Download, Landed, download
from corral.admission.fetch.partial import Partial, contiguous
from corral.admission.fetch.ranges import parse_content_range, segments_of
from corral.admission.fetch.web import Web
from corral.core.errors import CorralError
from tests.support.download_server import DownloadServer, Page

KIB = 1 << 10
BODY = os.urandom(1_000_000)
SHA = hashlib.sha256(BODY).hexdigest()
RANGED = {"ETag": '"v1"', "Accept-Ranges": "bytes"}


class Moves:
    """What a download told of its progress."""

    def __init__(self) -> None:
        self.all: list[tuple[int, int, int]] = []

    def __call__(self, done: int, total: int, ready: int) -> None:
        self.all.append((done, total, ready))


def wanted(server: DownloadServer, folder: Path, **changes: Any) -> Download:
    options: dict[str, Any] = {
        "url": server.url("/m"), "target": folder / "m", "max_bytes": 1 << 30, "sha256": SHA,
        "lanes": 4, "segment_bytes": 64 * KIB, "pause_s": 0,
    }  # fmt: skip
    return Download(**options | changes)


def run(server: DownloadServer, one: Download, moves: Moves | None = None) -> Landed:
    places = Destinations((server.host,), (server.host,))
    with Web(places, server.ca_pem) as web:
        return download(web, one, moves or Moves())


def refusal(server: DownloadServer, one: Download) -> str:
    with pytest.raises(CorralError) as caught:
        run(server, one)
    return caught.value.code


def test_a_large_file_comes_in_parts(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m"] = Page(BODY, headers=dict(RANGED))
    moves = Moves()
    assert run(server, wanted(server, tmp_path), moves).sha256 == SHA
    assert (tmp_path / "m").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    asked = sorted(int(text[6:].partition("-")[0]) for text in server.ranges())
    assert asked == list(range(0, len(BODY), 64 * KIB))
    assert all(h["if-range"] == '"v1"' for _, h in server.requests if "range" in h)
    readies = [ready for _, _, ready in moves.all]
    assert readies == sorted(readies)
    assert moves.all[-1] == (len(BODY), len(BODY), len(BODY))
    assert all(ready <= done for done, _, ready in moves.all)


@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        ({"ETag": 'W/"v1"', "Accept-Ranges": "bytes"}, {}),
        ({"Accept-Ranges": "bytes", "Last-Modified": "Sat, 28 Nov 2026 00:00:00 GMT"}, {}),
        ({"ETag": '"v1"'}, {}),
        ({"ETag": '"v1"', "Accept-Ranges": "none"}, {}),
        (RANGED, {"lanes": 1}),
        (RANGED, {"segment_bytes": 512 * KIB}),
    ],
)
def test_one_stream_where_parts_are_not_safe_or_not_worth_it(
    server: DownloadServer, tmp_path: Path, headers: dict[str, str], changes: dict[str, Any]
) -> None:
    server.pages["/m"] = Page(BODY, headers=dict(headers))
    assert run(server, wanted(server, tmp_path, **changes)).sha256 == SHA
    assert len(server.requests) == 1


def test_several_connections_at_once(server: DownloadServer, tmp_path: Path) -> None:
    """Each of the first four answers waits until all four have been asked for."""
    together = threading.Barrier(4)

    def part(start: int, headers: dict[str, str]) -> None:
        if start < 4 * 64 * KIB:
            together.wait(20)

    server.pages["/m"] = Page(BODY, headers=dict(RANGED), part=part)
    assert run(server, wanted(server, tmp_path)).sha256 == SHA


def changed(start: int, headers: dict[str, str]) -> None:
    headers["Content-Range"] = f"bytes {start + 1}-{start + 64 * KIB}/{len(BODY)}"


def longer(start: int, headers: dict[str, str]) -> None:
    headers["Content-Range"] = headers["Content-Range"].replace(f"/{len(BODY)}", "/99999999")


@pytest.mark.claim("FET-03")
@pytest.mark.parametrize("part", [changed, longer])
def test_a_server_that_gives_other_parts_than_asked(
    server: DownloadServer, tmp_path: Path, part: Any
) -> None:
    """It loses its lanes; asked once more for the whole, it is believed as far as the digest."""
    server.pages["/m"] = Page(BODY, headers=dict(RANGED), part=part)
    assert run(server, wanted(server, tmp_path)).sha256 == SHA
    assert "range" not in server.requests[-1][1]
    assert (tmp_path / "m").read_bytes() == BODY


@pytest.mark.parametrize("status", [200, 403, 429, 503])
def test_a_server_that_stops_giving_parts(
    server: DownloadServer, tmp_path: Path, status: int
) -> None:
    """One stream goes on behind what has come."""

    def part(start: int, headers: dict[str, str]) -> int | None:
        open_ended = headers["Content-Range"].endswith(f"-{len(BODY) - 1}/{len(BODY)}")
        return status if start >= 512 * KIB and not open_ended else None

    server.pages["/m"] = Page(BODY, headers=dict(RANGED), part=part)
    assert run(server, wanted(server, tmp_path)).sha256 == SHA
    assert (tmp_path / "m").read_bytes() == BODY
    (_, last) = server.requests[-1]
    begun = int(last["range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < begun <= 512 * KIB
    assert last["if-range"] == '"v1"'


def test_an_address_that_expires(server: DownloadServer, tmp_path: Path) -> None:
    """Behind a redirect that is asked again, the lanes go on; each address is good for a while."""

    def part(start: int, headers: dict[str, str]) -> int | None:
        return 403 if start >= 512 * KIB else None

    first = Page(status=302, headers={"Location": "/cdn?signature=1"})
    first.then = Page(status=302, headers={"Location": "/cdn?signature=2"})
    server.pages["/m"] = first
    server.pages["/cdn?signature=1"] = Page(BODY, headers=dict(RANGED), part=part)
    server.pages["/cdn?signature=2"] = Page(BODY, headers=dict(RANGED))
    assert run(server, wanted(server, tmp_path)).sha256 == SHA
    later = [h["range"] for path, h in server.requests if path.endswith("2") and "range" in h]
    assert len(later) > 5, "in parts again"
    assert [path for path, _ in server.requests].count("/m") == 2


def test_a_file_that_changes_between_its_parts(server: DownloadServer, tmp_path: Path) -> None:
    """Without a digest too: no part of one version is put beside a part of another."""
    other = os.urandom(len(BODY))

    def part(start: int, headers: dict[str, str]) -> None:
        if start >= 256 * KIB:
            server.pages["/m"] = Page(other, headers={**RANGED, "ETag": '"v2"'})

    server.pages["/m"] = Page(BODY, headers=dict(RANGED), part=part)
    landed = run(server, wanted(server, tmp_path, sha256=""))
    assert landed.sha256 == hashlib.sha256(other).hexdigest()
    assert (tmp_path / "m").read_bytes() == other


def test_a_connection_that_breaks_in_a_part(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m"] = Page(BODY, headers=dict(RANGED))
    page = server.pages["/m"]

    def part(start: int, headers: dict[str, str]) -> None:
        if start == 128 * KIB:
            page.cut_after = 10 * KIB

    page.part = part
    assert run(server, wanted(server, tmp_path)).sha256 == SHA


@pytest.mark.claim("ADM-02")
def test_the_digest_decides_over_the_parts_as_a_whole(
    server: DownloadServer, tmp_path: Path
) -> None:
    server.pages["/m"] = Page(BODY[:-1] + bytes([BODY[-1] ^ 1]), headers=dict(RANGED))
    assert refusal(server, wanted(server, tmp_path)) == "hash_mismatch"
    assert len(server.ranges()) > 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.claim("FET-03")
def test_the_size_cap_is_the_same(server: DownloadServer, tmp_path: Path) -> None:
    server.pages["/m"] = Page(BODY, headers=dict(RANGED))
    assert refusal(server, wanted(server, tmp_path, max_bytes=len(BODY) - 1)) == "too_large"
    assert list(tmp_path.iterdir()) == []


def interrupted(tmp_path: Path, server: DownloadServer, got: list[int]) -> None:
    """Leave what an earlier run would: parts that are there, zeros in between."""
    partial = Partial(tmp_path / "m")
    raw = bytearray(len(BODY))
    for index, count in enumerate(got):
        start = index * 64 * KIB
        raw[start : start + count] = BODY[start : start + count]
    partial.part.write_bytes(raw)
    partial.keep(server.url("/m"), SHA, '"v1"', got, 64 * KIB)


def test_only_what_is_missing_is_asked_for(server: DownloadServer, tmp_path: Path) -> None:
    got = segments_of(100 * KIB, len(BODY), 64 * KIB)
    got[5], got[7] = 64 * KIB, 10 * KIB
    interrupted(tmp_path, server, got)
    server.pages["/m"] = Page(BODY, headers=dict(RANGED))
    assert run(server, wanted(server, tmp_path)).sha256 == SHA
    first, *asked = [int(text[6:].partition("-")[0]) for text in server.ranges()]
    assert first == 100 * KIB, "the question whether the file is still the same"
    assert min(asked) == 100 * KIB
    assert 5 * 64 * KIB not in asked
    assert 7 * 64 * KIB + 10 * KIB in asked


def test_one_stream_goes_on_before_the_first_gap(server: DownloadServer, tmp_path: Path) -> None:
    got = segments_of(100 * KIB, len(BODY), 64 * KIB)
    got[5] = 64 * KIB
    interrupted(tmp_path, server, got)
    server.pages["/m"] = Page(BODY, headers=dict(RANGED))
    assert run(server, wanted(server, tmp_path, lanes=1)).sha256 == SHA
    assert server.ranges() == [f"bytes={100 * KIB}-"]


@pytest.mark.parametrize("got", [[64 * KIB] * 16, [1 << 40] * 16, [64 * KIB] * 3, [0] * 900])
def test_a_note_that_lies_costs_a_download_and_no_more(
    server: DownloadServer, tmp_path: Path, got: list[int]
) -> None:
    """The bytes are zeros, and the note says that they are there."""
    interrupted(tmp_path, server, [])
    (tmp_path / "m.part").write_bytes(bytes(500_000))
    Partial(tmp_path / "m").keep(server.url("/m"), SHA, '"v1"', got, 64 * KIB)
    server.pages["/m"] = Page(BODY, headers=dict(RANGED))
    one = wanted(server, tmp_path)
    try:
        assert run(server, one).sha256 == SHA
    except CorralError as error:
        assert error.code == "hash_mismatch"
        assert list(tmp_path.iterdir()) == []
    assert run(server, one).sha256 == SHA


def test_a_run_that_ends_in_the_middle_is_noted(server: DownloadServer, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    class Impatient(Moves):
        def __call__(self, done: int, total: int, ready: int) -> None:
            if ready >= 200 * KIB:
                raise StopError

    server.pages["/m"] = Page(BODY, headers=dict(RANGED))
    with pytest.raises(StopError):
        run(server, wanted(server, tmp_path), Impatient())
    partial = Partial(tmp_path / "m")
    saved = partial.load(server.url("/m"), SHA)
    assert saved is not None
    there = contiguous(saved.got, 64 * KIB)
    assert there >= 200 * KIB
    assert partial.part.read_bytes()[:there] == BODY[:there]
    before = len(server.requests)
    assert run(server, wanted(server, tmp_path)).sha256 == SHA
    assert f"bytes={there}-" == server.requests[before][1]["range"]


def test_notes() -> None:
    assert segments_of(70, 100, 32) == [32, 32, 6, 0]
    assert contiguous([32, 32, 6, 4], 32) == 70
    assert contiguous([32, 32, 32, 4], 32) == 100
    assert parse_content_range("bytes 1-2/3") == (1, 2, 3)
    for text in ("", "bytes 1-2/*", "bytes */3", "bytes=1-2/3", "items 1-2/3", "bytes -1-2/3"):
        assert parse_content_range(text) is None


def test_a_note_of_another_address_is_none(tmp_path: Path) -> None:
    partial = Partial(tmp_path / "m")
    partial.keep("https://a/?token=1", SHA, '"v"')
    assert b"token" not in partial.note.read_bytes()
    assert partial.load("https://a/?token=1", SHA) is not None
    assert partial.load("https://a/?token=2", SHA) is None
    assert partial.load("https://a/?token=1", "") is None
    raw = msgspec.json.decode(partial.note.read_bytes())
    for change in ({"got": [-1]}, {"got": "x"}, {"more": 1}, {"segment_bytes": 0}):
        partial.note.write_bytes(msgspec.json.encode(raw | change))
        assert partial.load("https://a/?token=1", SHA) is None
