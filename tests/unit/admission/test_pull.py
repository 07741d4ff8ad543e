"""Pulls from end to end: real wire, job programs and database; only the jails are missing."""

import hashlib
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from corral.admission.catalog import Catalog, CatalogEntry
from corral.admission.catalog_changes import remove_entry
from corral.admission.expectation import Expectation
from corral.admission.fetch.client import fetch_source
from corral.admission.fetch.wire import Arrived, encode
from corral.admission.lock import pull_lock
from corral.admission.progress import no_progress
from corral.admission.pull import pull_model
from corral.admission.quarantine import sweep_quarantine
from corral.admission.scan_folder import scan_folder
from corral.admission.source import HttpsSource, source_folder
from corral.core.config import Config, Fetch
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.bare_jobs import TIMEOUT, bare_jobs
from tests.support.download_server import DownloadServer, Page
from tests.support.gguf_file import F32, GgufFile, scalar
from tests.unit.admission.conftest import Pull, Trial, reaching

BODY = GgufFile().encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())


def left_behind(home: Home) -> set[str]:
    """Everything in quarantine and store but locks and empty standing folders."""
    paths = [*home.quarantine.rglob("*"), *home.blobs.rglob("*")]
    names = {str(path.relative_to(home.root)) for path in paths}
    return names - {"quarantine/.lock", "quarantine/.store-lock", "quarantine/blobs"}


def catalog(home: Home) -> dict[str, CatalogEntry]:
    return dict(Catalog(home.database, home.receipt_public_key.read_bytes()).entries())


def test_a_local_file_is_admitted(home: Home, pull: Pull, model_file: Path, trial: Trial) -> None:
    entry = pull(model_file)
    assert (entry.name, entry.digest, entry.trust) == ("tiny", SHA, "untrusted")
    assert left_behind(home) == {f"store/sha256/{SHA}"}
    assert home.blob(SHA).read_bytes() == BODY
    assert home.blob(SHA).stat().st_mode & 0o777 == 0o444
    assert catalog(home) == {"tiny": entry}
    receipt = entry.receipt
    assert (receipt.engine, receipt.memory.kv_bytes_per_token, receipt.control_tokens) == (
        trial.engine, 128, ("<s>", "<|end|>"),
    )  # fmt: skip


def test_the_same_file_again_under_another_name(
    home: Home, pull: Pull, model_file: Path, trial: Trial
) -> None:
    pull(model_file)
    again = pull(model_file)
    second = pull(model_file, name="second", expect=Expectation(sha256=SHA))
    assert trial.loads == 2
    assert (again.name, second.name, second.trust) == ("tiny", "second", "verified")
    assert set(catalog(home)) == {"tiny", "second"}
    remove_entry(home, "tiny")
    assert home.blob(SHA).exists()
    remove_entry(home, "second")
    assert left_behind(home) == set()
    with pytest.raises(CorralError) as caught:
        remove_entry(home, "second")
    assert caught.value.code == "no_such_model"


def test_a_known_digest_whose_blob_is_gone_is_fetched_again(
    home: Home, pull: Pull, model_file: Path
) -> None:
    pull(model_file)
    home.blob(SHA).unlink()
    entry = pull(model_file, expect=Expectation(sha256=SHA))
    assert home.blob(SHA).exists()
    assert not entry.receipt.readmitted_from_store


def test_a_name_belongs_to_one_file(
    home: Home, pull: Pull, model_file: Path, tmp_path: Path
) -> None:
    pull(model_file)
    other = tmp_path / "other.gguf"
    other.write_bytes(GgufFile().with_value("x.y", scalar(F32, 1.5)).encode())
    with pytest.raises(CorralError) as caught:
        pull(other, name="tiny")
    assert caught.value.code == "name_taken"
    assert left_behind(home) == {f"store/sha256/{SHA}"}


@pytest.mark.claim("ADM-03")
def test_each_refusal_leaves_nothing(home: Home, pull: Pull, tmp_path: Path) -> None:
    def file(raw: bytes) -> Path:
        path = tmp_path / "candidate.gguf"
        path.write_bytes(raw)
        return path

    link = tmp_path / "link.gguf"
    link.symlink_to(tmp_path / "candidate.gguf")
    small = Config(fetch=Fetch(max_bytes=100))
    cases: list[tuple[str, object, dict[str, object]]] = [
        ("bad_source", "http://x/y", {}),
        ("bad_source", file(BODY), {"expect": Expectation(wheel_sha256=SHA)}),
        ("bad_model_name", file(BODY), {"name": "../x"}),
        ("source_symlink", link, {}),
        ("source_not_a_file", tmp_path, {}),
        ("source_missing", tmp_path / "none.gguf", {}),
        ("too_large", file(BODY), {"config": small}),
        ("hash_mismatch", file(BODY), {"expect": Expectation(sha256=Digest("0" * 64))}),
    ]
    for code, source, options in cases:
        with pytest.raises(CorralError) as caught:
            pull(source, **options)
        assert caught.value.code == code
        assert left_behind(home) == set()
    for code, raw in (
        ("not_gguf", b"PK" * 100),
        ("truncated", BODY[:-1]),
        ("truncated", BODY[:40]),
        ("truncated", BODY[:600]),
        ("truncated", b""),
        ("scan_rejected", replace(GgufFile(), version=9).encode()),
    ):
        with pytest.raises(CorralError) as caught:
            pull(file(raw))
        assert caught.value.code == code
        assert left_behind(home) == set()
    assert catalog(home) == {}


@pytest.mark.claim("ADM-03")
def test_a_failed_trial_leaves_nothing(
    home: Home, pull: Pull, model_file: Path, trial: Trial
) -> None:
    trial.ok = False
    with pytest.raises(CorralError) as caught:
        pull(model_file)
    assert caught.value.code == "trial_failed"
    assert left_behind(home) == set()


HOSTILE = {
    "silent end": "",
    "garbage": "print('hello')",
    "long line": "print('x' * 3_000_000)",
    "lies": """print('{"verdict":"accept","findings":[],"facts":null,"scanner":"s"}')""",
    "crash": "import os; os.abort()",
    "deaf": "import os, time; os.close(0); print('{}', flush=True); time.sleep(60)",
}


@pytest.mark.claim("ADM-04")
@pytest.mark.parametrize("program", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_scan_job_admits_nothing(
    home: Home, model_file: Path, program: str, trial: Trial
) -> None:
    with bare_jobs(home, program) as launcher, pytest.raises(CorralError) as caught:
        pull_model(
            str(model_file), home=home, config=Config(), launcher=launcher, trial=trial,
            expect=Expectation(),
        )  # fmt: skip
    assert caught.value.code == "scan_failed"
    assert left_behind(home) == set()


ARRIVED = f"print({encode(Arrived(1, SHA, 'https://h/')).decode()!r})"
FETCHERS = {
    "silent end": "",
    "garbage": "print('{}')",
    "nothing written": ARRIVED,
    "link": f"import os, sys; os.symlink('/etc/passwd', sys.argv[1] + '/model'); {ARRIVED}",
    "pipe": f"import os, sys; os.mkfifo(sys.argv[1] + '/model'); {ARRIVED}",
    "unknown code": """print('{"ev":"refused","code":"own","message":"m"}')""",
}


@pytest.mark.claim("ADM-05")
@pytest.mark.parametrize("program", FETCHERS.values(), ids=FETCHERS)
def test_a_hostile_fetch_job_admits_nothing(home: Home, program: str, trial: Trial) -> None:
    with bare_jobs(home, program) as launcher, pytest.raises(CorralError) as caught:
        pull_model(
            "https://h.example/m.gguf", home=home, config=Config(), launcher=launcher, trial=trial,
            expect=Expectation(),
        )  # fmt: skip
    assert caught.value.code == "fetch_failed"
    assert left_behind(home) == set()


def test_a_fetch_whose_time_was_up_goes_on_another_time(home: Home, trial: Trial) -> None:
    program = "import sys; open(sys.argv[1] + '/model.part', 'wb').write(b'a beginning')"
    program += f"; sys.exit({TIMEOUT})"
    with bare_jobs(home, program) as launcher, pytest.raises(CorralError) as caught:
        pull_model(
            "https://h.example/m.gguf", home=home, config=Config(), launcher=launcher, trial=trial,
            expect=Expectation(),
        )  # fmt: skip
    assert caught.value.code == "network_error"
    assert any(name.endswith("/model.part") for name in left_behind(home))


@pytest.mark.claim("ADM-02")
def test_a_fetch_job_that_lies_about_the_digest(home: Home, trial: Trial) -> None:
    program = f"import sys; open(sys.argv[1] + '/model', 'wb').write(b'evil'); {ARRIVED}"
    with bare_jobs(home, program) as launcher, pytest.raises(CorralError) as caught:
        pull_model(
            "https://h.example/m.gguf", home=home, config=Config(), launcher=launcher, trial=trial,
            expect=Expectation(sha256=SHA),
        )  # fmt: skip
    assert caught.value.code == "hash_mismatch"
    assert left_behind(home) == set()


def test_a_download_is_admitted(home: Home, pull: Pull, server: DownloadServer) -> None:
    server.pages["/far.gguf"] = Page(BODY)
    moved: list[str] = []
    entry = pull(
        server.url("/far.gguf"),
        config=reaching(server),
        expect=Expectation(sha256=SHA),
        progress=lambda stage, done, total: moved.append(stage),
    )
    assert (entry.name, entry.trust) == ("far", "verified")
    assert entry.receipt.final_url == server.url("/far.gguf")
    stages = [stage for stage in dict.fromkeys(moved) if stage != "copy"]
    assert stages == ["fetch", "scan", "trial", "admit"], "a small file may be copied already"
    assert left_behind(home) == {f"store/sha256/{SHA}"}


@pytest.mark.claim("ADM-15")
def test_the_query_of_a_url_is_stored_nowhere(
    home: Home, pull: Pull, server: DownloadServer
) -> None:
    """Also not the one that a redirect names, and also not while a download is incomplete."""
    server.pages["/a.gguf?token=S3CRET-1"] = Page(
        status=302, headers={"Location": "/b.gguf?sig=S3CRET-2#S3CRET-3"}
    )
    server.pages["/b.gguf?sig=S3CRET-2"] = Page(status=503)
    url = server.url("/a.gguf?token=S3CRET-1")
    folder = home.quarantine / source_folder(HttpsSource(url))
    folder.mkdir()
    (folder / "model.part").write_bytes(BODY[:100])
    saved = {"url_sha256": hashlib.sha256(url.encode()).hexdigest(), "sha256": SHA, "validator": ""}
    (folder / "model.part.json").write_text(json.dumps(saved))
    with pytest.raises(CorralError) as caught:
        pull(url, config=reaching(server), expect=Expectation(sha256=SHA))
    assert caught.value.code == "network_error"
    assert "S3CRET" not in f"{caught.value.message}{caught.value.remedy}"
    assert "model.part" in {path.name for path in folder.iterdir()}
    assert not holding(home, b"S3CRET")
    server.pages["/b.gguf?sig=S3CRET-2"] = Page(BODY, cut_after=400, headers={"ETag": '"1"'})
    entry = pull(url, config=reaching(server), expect=Expectation(sha256=SHA))
    assert set(server.ranges()) == {"bytes=100-", "bytes=500-"}
    assert entry.source == entry.receipt.source == server.url("/a.gguf?query-removed")
    assert entry.receipt.final_url == server.url("/b.gguf?query-removed")
    again = pull(url + "2", name="again", expect=Expectation(sha256=SHA))
    assert again.receipt.asked_source == server.url("/a.gguf?query-removed")
    assert not holding(home, b"S3CRET")
    assert holding(home, b"query-removed")


@pytest.mark.claim("ADM-15")
def test_a_fetch_job_cannot_have_a_query_stored(home: Home) -> None:
    arrived = encode(Arrived(1, SHA, "https://me:pw@h/x?token=1#2")).decode()
    with bare_jobs(home, f"print({arrived!r})") as launcher:
        place = HttpsSource("https://h.example/m.gguf")
        found = fetch_source(
            place, config=Fetch(), expect=Expectation(), launcher=launcher, progress=no_progress
        )
    assert found.final_url == "https://h/x?query-removed"


def holding(home: Home, text: bytes) -> list[Path]:
    """Return every file of the state folder that holds `text`."""
    return [p for p in home.root.rglob("*") if p.is_file() and text in p.read_bytes()]


@pytest.mark.claim("ADM-03")
def test_a_refused_download_leaves_nothing(home: Home, pull: Pull, server: DownloadServer) -> None:
    server.pages["/far.gguf"] = Page(BODY)
    cases: list[tuple[str, str, Config]] = [
        ("not_found", "/none.gguf", reaching(server)),
        ("private_address", "/far.gguf", Config()),
        ("too_large", "/far.gguf", reaching(server, 9)),
    ]  # fmt: skip
    for code, path, config in cases:
        with pytest.raises(CorralError) as caught:
            pull(server.url(path), config=config)
        assert caught.value.code == code
        assert left_behind(home) == set()


def test_an_interrupted_download_is_kept_and_resumed(
    home: Home, pull: Pull, server: DownloadServer
) -> None:
    url = server.url("/far.gguf")
    folder = home.quarantine / source_folder(HttpsSource(url))
    folder.mkdir()
    (folder / "model.part").write_bytes(BODY[:100])
    saved = {"url_sha256": hashlib.sha256(url.encode()).hexdigest(), "sha256": SHA, "validator": ""}
    (folder / "model.part.json").write_text(json.dumps(saved))
    sweep_quarantine(home)
    server.pages["/far.gguf"] = Page(BODY)
    pull(url, config=reaching(server), expect=Expectation(sha256=SHA))
    assert server.ranges() == ["bytes=100-"]


def test_the_sweep_removes_what_crashes_left(home: Home, pull: Pull, model_file: Path) -> None:
    pull(model_file)
    old = home.quarantine / "fetch-old"
    old.mkdir()
    (old / "model.part").write_bytes(b"x")
    os.utime(old / "model.part", (1, 1))
    done = home.quarantine / "fetch-done"
    done.mkdir()
    (done / "model").symlink_to("/etc/passwd")
    (home.quarantine / "blobs").mkdir(exist_ok=True)
    (home.quarantine / "blobs" / ".new-1").write_bytes(b"x")
    (home.quarantine / "stray").symlink_to("/etc/passwd")
    (home.quarantine / "scan-killed").mkdir()
    asking = home.quarantine / "ask-now"
    asking.mkdir()
    home.blob(Digest("1" * 64)).write_bytes(b"half")
    with pull_lock(home, lambda *_: None):
        sweep_quarantine(home)
        assert old.exists()
    with scan_folder(home) as scan:
        sweep_quarantine(home)
        running = f"quarantine/{scan.name}"
        assert left_behind(home) == {f"store/sha256/{SHA}", "quarantine/ask-now", running}


def test_a_second_pull_waits(home: Home, pull: Pull, model_file: Path) -> None:
    waiting = threading.Event()
    with pull_lock(home, lambda *_: None):
        thread = threading.Thread(
            target=pull,
            args=(model_file,),
            kwargs={"progress": lambda stage, *_: waiting.set() if stage == "wait" else None},
        )
        thread.start()
        assert waiting.wait(10)
        assert catalog(home) == {}
    thread.join()
    assert set(catalog(home)) == {"tiny"}
