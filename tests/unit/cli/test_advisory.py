"""`corral advisory` as a person uses it."""

from __future__ import annotations

import hashlib
import json

import pytest

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


def test_without_an_installation(corral: Corral, tmp_path: object) -> None:
    assert corral("advisory", "check", "--home", str(tmp_path), "--json").code == 0
