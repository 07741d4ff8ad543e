"""Shipped and local advisories together, and the engine that they are held against."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corral.advisories.database import Advisories, load_advisories, shipped_records
from corral.advisories.engine import installed_engine, judge, known_engines
from corral.advisories.record import parse_advisory
from corral.core.errors import CorralError
from corral.core.home import Home

DIGEST = "a" * 64
KEY = "sha256:" + "b" * 64


def local(home: Home, name: str, **changes: object) -> None:
    home.advisories.mkdir(parents=True, exist_ok=True)
    document = {
        "id": "OPS-1",
        "modified": "2026-01-01T00:00:00Z",
        "summary": "stolen",
        "database_specific": {"corral": {"digests": [DIGEST], "signers": [KEY]}},
    }
    (home.advisories / name).write_text(json.dumps(document | changes))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_without_a_folder_the_shipped_ones_count(home: Home) -> None:
    assert set(load_advisories(home).records) == {r.id for r in shipped_records()}
    assert len(shipped_records()) >= 60


@pytest.mark.claim("ADV-01")
def test_local_ones_are_added(home: Home) -> None:
    local(home, "ops.json")
    (home.advisories / "readme.txt").write_text("not a record")
    known = load_advisories(home)
    for about in (((DIGEST,), ()), (("c" * 64,), (KEY,)), (("", DIGEST), ())):
        found = known.about(*about)
        assert found is not None
        assert found.id == "OPS-1"
    assert known.about(("c" * 64, ""), ("sha256:" + "c" * 64,)) is None


def test_the_record_that_was_modified_last_counts(home: Home) -> None:
    local(home, "a.json", modified="2026-02-01T00:00:00Z", database_specific={})
    local(home, "b.json")
    assert load_advisories(home).about((DIGEST,)) is None
    local(home, "a.json", modified="2025-02-01T00:00:00Z", database_specific={})
    assert load_advisories(home).about((DIGEST,)) is not None


def test_a_withdrawn_record_says_nothing(home: Home) -> None:
    local(home, "a.json", withdrawn="2026-02-01T00:00:00Z")
    known = load_advisories(home)
    assert known.about((DIGEST,)) is None
    assert judge(known.records["OPS-1"], None) == "withdrawn"


@pytest.mark.claim("ADV-01")
def test_a_file_that_cannot_be_read_is_an_error(home: Home) -> None:
    local(home, "a.json", id="?")
    with pytest.raises(CorralError) as caught:
        load_advisories(home)
    assert caught.value.code == "advisory_malformed"
    (home.advisories / "a.json").unlink()
    (home.advisories / "b.json").mkdir()
    with pytest.raises(CorralError) as caught:
        load_advisories(home)
    assert caught.value.code == "advisory_unreadable"


def test_a_folder_that_is_a_file_is_an_error(home: Home) -> None:
    home.advisories.write_text("")
    with pytest.raises(CorralError) as caught:
        load_advisories(home)
    assert caught.value.code == "advisory_unreadable"


def test_the_installed_engine_is_on_the_list() -> None:
    engine = installed_engine()
    assert engine.build is not None
    assert engine.build.version == engine.version
    assert engine.version.rpartition(".")[2] == str(engine.build.build)
    assert len({one.sha256 for one in known_engines()}) == len(known_engines())


def test_an_unknown_engine_counts_as_affected() -> None:
    records = {r.id: r for r in shipped_records()}
    fixed = records["CVE-2026-43629"]
    assert judge(fixed, installed_engine().build) == "fixed"
    assert judge(records["CVE-2025-52566"], None) == "affected"
    assert judge(records["CVE-2026-33298"], None) == "refused"
    assert judge(records["CVE-2026-34159"], None) == "affected", "nobody says that RPC is not in it"
    assert judge(records["CVE-2026-43629"], None) == "not-reached"
    assert judge(records["CVE-2026-7482"], None) == "other-product"


def test_an_affected_engine_without_an_answer_is_affected() -> None:
    record = parse_advisory(
        json.dumps(
            {
                "id": "X-1",
                "modified": "2026-01-01T00:00:00Z",
                "affected": [
                    {
                        "package": {"ecosystem": "llama.cpp", "name": "llama.cpp"},
                        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "b11000"}]}],
                    }
                ],
            }
        ).encode(),
        "x",
    )
    assert judge(record, installed_engine().build) == "affected"
    assert Advisories.of([record]).records == {"X-1": record}
