"""`corral advisory` as a person uses it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from corral.advisories.database import load_advisories
from corral.advisories.engine import InstalledEngine, engine_refusal, installed_engine
from corral.cli.engine_check import check_engine
from corral.core.config import Config, override_config
from corral.core.errors import CorralError
from corral.core.home import Home
from tests.support.command_line import Corral


@pytest.fixture
def bad(home: Home) -> str:
    """An advisory of the operator's own about a digest."""
    digest = hashlib.sha256(b"bad").hexdigest()
    home.advisories.mkdir()
    record = {
        "id": "OPS-1",
        "modified": "2026-01-01T00:00:00Z",
        "summary": "stolen\x1b[2J",
        "affected": [
            {
                "package": {"ecosystem": "llama.cpp", "name": "llama.cpp"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
            }
        ],
        "database_specific": {"corral": {"digests": [digest]}},
    }
    (home.advisories / "ops.json").write_text(json.dumps(record))
    return digest


def test_list(corral: Corral, home: Home) -> None:
    rows = corral("advisory", "list", "--home", str(home.root), "--json").document
    assert {"id": "CVE-2026-7482", "status": "other-product"}.items() <= {
        k: v for row in rows if row["id"] == "CVE-2026-7482" for k, v in row.items()
    }.items()
    assert "CVE-2026-33298" in corral("advisory", "list", "--home", str(home.root)).out


def test_show(corral: Corral, home: Home, bad: str) -> None:
    place = ("--home", str(home.root))
    shown = corral("advisory", "show", "ghsa-96jg-mvhq-q7q7", *place)
    assert "nbytes_overflow" in shown.out
    record = corral("advisory", "show", "CVE-2026-33298", "--json", *place).document
    assert record["aliases"] == ["GHSA-96jg-mvhq-q7q7"]
    shown = corral("advisory", "show", "OPS-1", *place)
    assert bad[:40] in shown.out
    assert "\x1b" not in shown.out
    assert corral("advisory", "show", "X-9", "--json", *place).error_code == "no_such_advisory"


def test_check(corral: Corral, home: Home) -> None:
    checked = corral("advisory", "check", "--home", str(home.root), "--json")
    assert checked.code == 0
    assert checked.document["affected"] == []
    assert checked.document["engine"]["build"] == 11549
    assert "CORRAL-2026-0001" in checked.document["refused"]
    assert "b11549" in corral("advisory", "check", "--home", str(home.root)).out


def test_check_of_an_engine_with_an_open_flaw(corral: Corral, home: Home, bad: str) -> None:
    checked = corral("advisory", "check", "--home", str(home.root), "--json")
    assert (checked.code, checked.document["affected"]) == (1, ["OPS-1"])


@pytest.mark.parametrize("verb", [("up", "--port", "0"), ("run", "m", "hi"), ("pull", "/m.gguf")])
def test_an_engine_with_an_open_flaw_is_not_started(
    corral: Corral, home: Home, bad: str, verb: tuple[str, ...]
) -> None:
    ended = corral(*verb, "--json", "--home", str(home.root))
    assert (ended.code, ended.error_code) == (1, "engine_vulnerable")
    assert "OPS-1" in ended.document["error"]["message"]
    with pytest.raises(CorralError):
        check_engine(home, Config())
    accepted = override_config(Config(), {"sandbox.allow_degraded": ("engine-vulnerable",)})
    check_engine(home, accepted)


def test_an_engine_that_nobody_knows_is_refused() -> None:
    known = load_advisories(Home(Path("/nonexistent"))).records.values()
    found = installed_engine()
    assert engine_refusal(found, known, ()) is None, "the control: the shipped engine"
    for engine in (replace(found, sha256="0" * 64, build=None), InstalledEngine("", "", None)):
        for accepted in ((), ("engine-vulnerable", "cgroup")):
            refusal = engine_refusal(engine, known, accepted)
            assert refusal is not None
            assert refusal.code == "engine_unknown"
            assert "--allow-degraded=engine-unknown" in refusal.remedy
        assert engine_refusal(engine, known, ("engine-unknown",)) is None


def test_without_an_installation(corral: Corral, tmp_path: object) -> None:
    assert corral("advisory", "check", "--home", str(tmp_path), "--json").code == 0
