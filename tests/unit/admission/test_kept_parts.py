"""A pull of a model in several files that breaks: the next one goes on where it was."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from corral.admission.expectation import Expectation
from corral.admission.plan import plan_pull
from corral.admission.progress import Progress
from corral.admission.quarantine import leftovers, sweep_quarantine
from corral.control.client import LauncherClient
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.download_server import DownloadServer, Page
from tests.support.gguf_file import GgufFile
from tests.support.gguf_split import split_gguf
from tests.unit.admission.conftest import Pull, reaching

BODY = GgufFile().encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())
PARTS = split_gguf(BODY, 3)
DIGESTS = tuple(Digest(hashlib.sha256(part).hexdigest()) for part in PARTS)
ONE_BYTE = "bytes=0-0"


def path(number: int) -> str:
    return f"/tiny-{number:05d}-of-00003.gguf"


def page(number: int) -> Page:
    body = PARTS[number - 1]
    return Page(body, headers={"ETag": f'"{DIGESTS[number - 1]}"'})


def stopping(server: DownloadServer) -> Progress:
    """Return a progress that stops the pull, as Ctrl-C does, when the last part begins to come."""

    def progress(_name: str, _done: int, _total: int) -> None:
        if any(asked == path(3) for asked, _ in server.requests):
            raise KeyboardInterrupt

    return progress


@pytest.fixture
def broken(home: Home, pull: Pull, server: DownloadServer) -> Callable[[], None]:
    """Two parts are there when the pull ends."""

    def run() -> None:
        for number in (1, 2, 3):
            server.pages[path(number)] = page(number)
        with pytest.raises(KeyboardInterrupt):
            pull(server.url(path(1)), config=reaching(server), progress=stopping(server))
        server.requests.clear()

    return run


def whole(server: DownloadServer) -> list[str]:
    """Return what was asked for from its first byte to its last."""
    return [
        asked for asked, headers in server.requests if headers.get("range") != ONE_BYTE
    ]  # fmt: skip


def kept(home: Home) -> list[str]:
    return [one.name for one in home.quarantine.glob("set-*/*")]


def test_parts_that_have_come_are_not_fetched_again(
    home: Home, pull: Pull, server: DownloadServer, broken: Callable[[], None],
    launcher: LauncherClient,
) -> None:  # fmt: skip
    broken()
    assert len(kept(home)) == 4, "two parts and their notes"
    source, config = server.url(path(1)), reaching(server)
    plan = plan_pull(source, home=home, config=config, launcher=launcher, expect=Expectation())
    assert [one.partial_bytes for one in plan.files[:2]] == [len(one) for one in PARTS[:2]]
    server.requests.clear()
    sweep_quarantine(home)
    assert leftovers(home) == []
    entry = pull(source, config=config)
    assert entry.digest == SHA
    assert [part.sha256 for part in entry.receipt.parts] == list(DIGESTS)
    assert entry.receipt.source == source
    assert whole(server) == [path(3)]
    assert kept(home) == []


def test_a_part_that_changed_since_is_fetched_again(
    home: Home, pull: Pull, server: DownloadServer, broken: Callable[[], None]
) -> None:
    broken()
    server.pages[path(1)] = replace(page(1), headers={"ETag": '"another"'})
    server.pages[path(2)] = replace(page(2), headers={})
    assert pull(server.url(path(1)), config=reaching(server)).digest == SHA
    assert whole(server) == [path(1), path(2), path(3)]


def test_a_part_that_is_not_the_demanded_one_is_fetched_again(
    pull: Pull, server: DownloadServer, broken: Callable[[], None], home: Home
) -> None:
    broken()
    wrong = Expectation(parts=(Digest("0" * 64), *DIGESTS[1:]))
    with pytest.raises(CorralError) as caught:
        pull(server.url(path(1)), config=reaching(server), expect=wrong)
    assert caught.value.code == "hash_mismatch"
    assert whole(server) == [path(1)]
    assert kept(home) == [], "what was refused leaves nothing"


@pytest.mark.claim("ADM-45")
@pytest.mark.parametrize("harm", ["bytes", "note", "link", "digest in the note"])
def test_a_kept_part_is_hashed_again(
    home: Home, pull: Pull, server: DownloadServer, broken: Callable[[], None], harm: str
) -> None:
    broken()
    (folder,) = home.quarantine.glob("set-*")
    part = min(one for one in folder.iterdir() if not one.suffix)
    note = part.with_name(part.name + ".json")
    said = json.loads(note.read_bytes())
    other = bytearray(part.read_bytes())
    other[-1] ^= 1
    if harm == "bytes":
        part.chmod(0o600)
        part.write_bytes(other)
    elif harm == "note":
        note.write_bytes(b"[" * 100_000)
    elif harm == "link":
        part.rename(folder / "elsewhere")
        part.symlink_to(folder / "elsewhere")
    else:
        note.write_text(json.dumps(said | {"sha256": hashlib.sha256(other).hexdigest()}))
    assert pull(server.url(path(1)), config=reaching(server)).digest == SHA
    assert len(whole(server)) == 2
    assert kept(home) == []
