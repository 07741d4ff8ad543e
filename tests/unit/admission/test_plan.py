"""`corral pull --dry-run`: what a pull would do, without doing it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.admission.expectation import Expectation
from corral.admission.fetch.wire import Arrived, Told, encode
from corral.admission.lock import store_lock
from corral.admission.plan import PullPlan, plan_pull
from corral.admission.policy.standing import install_standing
from corral.admission.source import HttpsSource, source_folder
from corral.control.client import LauncherClient
from corral.core.config import Config, Fetch
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from tests.support.bare_jobs import bare_jobs
from tests.support.download_server import DownloadServer, Page
from tests.support.gguf_file import GgufFile
from tests.support.policies import ANYTHING, HEAD
from tests.unit.admission.conftest import Pull, reaching

BODY = GgufFile().encode()
SHA = Digest(hashlib.sha256(BODY).hexdigest())
OTHER = Digest("0" * 64)


def advisory(digest: str) -> dict[str, object]:
    return {
        "schema_version": "1.6.7", "id": "BAD-1", "modified": "2026-01-01T00:00:00Z",
        "summary": "bad", "database_specific": {"corral": {"digests": [digest]}},
    }  # fmt: skip


Planned = Callable[..., PullPlan]


@pytest.fixture
def planned(home: Home, launcher: LauncherClient) -> Planned:
    def run(source: object, **changes: object) -> PullPlan:
        options: dict[str, object] = {"config": Config(), "expect": Expectation()}
        return plan_pull(str(source), home=home, launcher=launcher, **options | changes)  # type: ignore[arg-type]

    return run


def state_of(home: Home) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file of the state folder, and its folders."""
    return {
        str(path): (path.read_bytes(), path.lstat().st_mtime_ns) if path.is_file() else (b"", 0)
        for path in home.root.rglob("*")
        if path != home.quarantine
    }


@pytest.mark.claim("ADM-40")
def test_it_says_what_would_be_fetched_and_changes_nothing(
    home: Home, planned: Planned, pull: Pull, server: DownloadServer
) -> None:
    url = server.url("/far.gguf")
    server.pages["/far.gguf"] = Page(BODY)
    folder = home.quarantine / source_folder(HttpsSource(url))
    folder.mkdir()
    (folder / "model.part").write_bytes(BODY[:100])
    before = state_of(home)
    plan = planned(url, config=reaching(server))
    assert state_of(home) == before
    (file,) = plan.files
    assert (file.host, file.url, file.size_bytes, file.sha256) == (
        server.host, url, len(BODY), None,
    )  # fmt: skip
    assert (file.partial_bytes, plan.in_store, plan.fetches) == (100, False, True)
    assert (plan.name, plan.trust, plan.refusal) == ("far", "untrusted", None)
    assert plan.needed_bytes is not None
    assert plan.needed_bytes < plan.free_bytes
    assert server.ranges() == ["bytes=0-0"]
    pull(url, config=reaching(server))
    assert state_of(home) != before


def test_a_hub_names_digest_and_commit(planned: Planned, server: DownloadServer) -> None:
    headers = {"X-Linked-ETag": f'"{SHA}"', "X-Repo-Commit": "c0ffee", "Location": "/blob?k=S3CRET"}
    server.pages["/o/r/resolve/main/m.gguf"] = Page(status=302, headers=headers)
    server.pages["/blob?k=S3CRET"] = Page(BODY)
    hub = Config(fetch=Fetch((1 << 40), (), (server.host,), hf_endpoint=server.url("")))
    plan = planned("hf://o/r/m.gguf", config=hub)
    (file,) = plan.files
    assert (file.sha256, file.revision, file.size_bytes) == (SHA, "c0ffee", len(BODY))
    assert file.url == server.url("/blob?query-removed")
    refused = planned("hf://o/r/m.gguf", config=hub, expect=Expectation(sha256=OTHER))
    assert refused.refusal is not None
    assert (refused.refusal.code, refused.trust) == ("hash_mismatch", None)


def test_a_length_that_nobody_tells(planned: Planned, server: DownloadServer) -> None:
    server.pages["/m.gguf"] = Page(BODY, chunked=True, status=203)
    with pytest.raises(CorralError) as caught:
        planned(server.url("/m.gguf"), config=reaching(server))
    assert caught.value.code == "http_error"
    server.pages["/m.gguf"] = Page(BODY, chunked=True, ranges=False)
    plan = planned(server.url("/m.gguf"), config=reaching(server))
    assert (plan.files[0].size_bytes, plan.needed_bytes) == (None, None)
    server.pages["/m.gguf"] = Page(b"", status=416)
    assert planned(server.url("/m.gguf"), config=reaching(server)).files[0].size_bytes == 0


def test_a_registry_tells_all(home: Home, planned: Planned, server: DownloadServer) -> None:
    layer = {
        "mediaType": "application/vnd.gguf", "digest": f"sha256:{SHA}", "size": len(BODY),
    }  # fmt: skip
    config = {"mediaType": "application/json", "digest": f"sha256:{OTHER}", "size": 2}
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}
    ).encode()
    server.pages["/v2/lab/m/manifests/v1"] = Page(manifest, headers={"Content-Type": kind})
    plan = planned(f"oci://{server.host}/lab/m:v1", config=reaching(server))
    (file,) = plan.files
    assert (file.sha256, file.size_bytes) == (SHA, len(BODY))
    assert file.manifest_sha256 == hashlib.sha256(manifest).hexdigest()
    assert not any(home.quarantine.rglob("ask-*"))


def test_a_local_file_is_hashed_and_found_in_the_store(
    home: Home, planned: Planned, pull: Pull, model_file: Path, tmp_path: Path
) -> None:
    plan = planned(model_file)
    assert (plan.files[0].sha256, plan.files[0].host, plan.in_store) == (SHA, "", False)
    pull(model_file)
    again = planned(model_file)
    assert (again.in_store, again.fetches, again.trust) == (True, True, "untrusted")
    pinned = planned(model_file, expect=Expectation(sha256=SHA))
    assert (pinned.in_store, pinned.fetches, pinned.trust) == (True, False, "verified")
    assert pinned.needed_bytes == 0
    other = tmp_path / "other.gguf"
    other.write_bytes(BODY + b"\0")
    refused = planned(other, name="tiny").refusal
    assert refused is not None
    assert refused.code == "name_taken"


@pytest.mark.parametrize("code", ["too_large", "advisory_known_bad"])
def test_what_would_refuse_is_foretold(
    home: Home, planned: Planned, server: DownloadServer, code: str
) -> None:
    server.pages["/m.gguf"] = Page(BODY, headers={"X-Linked-ETag": f'"{SHA}"'})
    if code == "advisory_known_bad":
        home.advisories.mkdir()
        (home.advisories / "BAD-1.json").write_text(json.dumps(advisory(SHA)))
    limit = len(BODY) - 1 if code == "too_large" else 1 << 40
    plan = planned(server.url("/m.gguf"), config=reaching(server, limit))
    assert plan.refusal is not None
    assert (plan.refusal.code, plan.trust) == (code, None)


def test_the_policy_is_asked_as_far_as_it_can_answer(
    home: Home, planned: Planned, model_file: Path
) -> None:
    def under(rules: str) -> tuple[object, ...]:
        with store_lock(home):
            install_standing(home, (HEAD + rules).encode())
        plan = planned(model_file)
        return plan.trust, plan.waits_for, plan.refusal and plan.refusal.code

    assert under(ANYTHING) == ("untrusted", (), None)
    pinned = ANYTHING + 'evidence = ["sha256"]\n'
    assert under(pinned) == (None, (), "policy_refused")
    licensed = ANYTHING + '[[cap]]\nrule = "l"\nlevel = "refuse"\nwhy = "w"\nlicences = ["x"]\n'
    assert under(licensed) == (None, ("licences",), None)


ANSWERS = {
    "garbage": "print('{}')",
    "silent end": "",
    "a file that was not asked for": f"print({encode(Arrived(1, SHA, 'https://h/')).decode()!r})",
    "a size below none": 'print(\'{"ev":"told","size_bytes":-2,"sha256":"","final_url":""}\')',
}


@pytest.mark.claim("ADM-05")
@pytest.mark.parametrize("program", ANSWERS.values(), ids=ANSWERS)
def test_a_hostile_job_is_not_believed(home: Home, program: str) -> None:
    with bare_jobs(home, program) as launcher, pytest.raises(CorralError) as caught:
        plan_pull(
            "https://h.example/m.gguf", home=home, config=Config(), launcher=launcher,
            expect=Expectation(),
        )  # fmt: skip
    assert caught.value.code == "fetch_failed"
    assert not any(home.quarantine.iterdir())


@pytest.mark.claim("ADM-05")
def test_a_pull_takes_no_answer_for_a_file(home: Home, pull: Pull) -> None:
    told = encode(Told(1, SHA, "https://me:pw@h/x?token=1")).decode()
    with bare_jobs(home, f"print({told!r})") as launcher:
        with pytest.raises(CorralError) as caught:
            pull("https://h.example/m.gguf", launcher=launcher)
        assert caught.value.code == "fetch_failed"
        plan = plan_pull(
            "https://h.example/m.gguf", home=home, config=Config(), launcher=launcher,
            expect=Expectation(),
        )  # fmt: skip
    assert plan.files[0].url == "https://h/x?query-removed"
