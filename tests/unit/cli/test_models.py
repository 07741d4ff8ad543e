"""list and show on databases that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.cli.up import _warn_of_models
from corral.core.home import Home
from tests.support.admitted_row import make_receipt, put_outdated, put_receipt, put_signed
from tests.support.command_line import Corral


def replace_database(home: Home, content: bytes) -> None:
    for path in home.state.glob("corral.db*"):
        path.unlink()
    home.database.write_bytes(content)


def test_an_empty_database_has_no_models(corral: Corral, home: Home) -> None:
    replace_database(home, b"")
    place = ("--home", str(home.root), "--json")
    listed = corral("list", *place)
    assert (listed.code, listed.document) == (0, [])
    replace_database(home, b"")
    assert corral("show", "m", *place).error_code == "no_such_model"


def test_a_database_that_is_none_is_said_so(corral: Corral, home: Home) -> None:
    replace_database(home, b"not a database" * 1000)
    ended = corral("list", "--home", str(home.root), "--json")
    assert (ended.code, ended.error_code) == (1, "database_unavailable")


def test_receipts_that_cannot_be_verified_are_said_so(corral: Corral, home: Home) -> None:
    home.receipt_public_key.unlink()
    ended = corral("list", "--home", str(home.root), "--json")
    assert (ended.code, ended.error_code) == (1, "receipt_key_missing")


def test_a_mistyped_file_is_no_missing_model(corral: Corral, home: Home, tmp_path: Path) -> None:
    place = ("--home", str(home.root), "--json")
    for target in (str(tmp_path / "smol"), "./smol", "smol.gguf", "SMOL.GGUF"):
        ended = corral("scan", target, *place)
        assert (ended.code, ended.error_code) == (2, "source_missing"), target
    ended = corral("scan", "smol", *place)
    assert (ended.code, ended.error_code) == (2, "no_such_model")


def test_a_receipt_that_does_not_count_is_said_so(
    corral: Corral, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    put_receipt(home, make_receipt(name="good"))
    put_outdated(home, "old")
    put_signed(home, make_receipt(name="forged"), "{}", bytes(64))
    place = ("--home", str(home.root))
    listed = corral("list", *place, "--json")
    assert (listed.code, [one["name"] for one in listed.document]) == (0, ["good"])
    said = listed.err
    _warn_of_models(home)
    for shown in (said, capsys.readouterr().err):
        assert "the receipt of old is signed" in shown
        assert "[receipt_outdated]" in shown
        assert "[receipt_invalid]" in shown
        assert "good" not in shown
    for name, code in {"old": "receipt_outdated", "forged": "receipt_invalid"}.items():
        for options in ((), ("--receipt",), ("--bom",)):
            ended = corral("show", name, *options, *place, "--json")
            assert (ended.code, ended.error_code) == (1, code)
    checked = corral("fsck", *place, "--json").document["troubles"]
    kinds = {one["where"]: one["kind"] for one in checked if one["kind"].startswith("receipt")}
    assert kinds == {"old": "receipt_outdated", "forged": "receipt"}


def test_up_goes_on_where_the_models_cannot_be_read(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.receipt_public_key.unlink()
    _warn_of_models(home)
    assert "[receipt_key_missing]" in capsys.readouterr().err
