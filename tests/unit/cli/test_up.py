from __future__ import annotations

import json
from pathlib import Path

import pytest

from corral.cli.up import base_url, certificate_names, check_exposure, prepare, shown_if_it_fails
from corral.core.config import Config, override_config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.tenancy.keys import list_keys, revoke_key
from tests.support.command_line import Corral


def listening(host: str, names: tuple[str, ...] = ()) -> Config:
    return override_config(Config(), {"listen.host": host, "listen.names": names})


@pytest.mark.parametrize(
    ("asked", "names", "reported", "url"),
    [
        ("127.0.0.1", (), "127.0.0.1", "https://127.0.0.1:9"),
        ("::1", (), "::1", "https://[::1]:9"),
        ("0.0.0.0", (), "0.0.0.0", "https://127.0.0.1:9"),
        ("::", ("models.example",), "::", "https://models.example:9"),
        ("192.0.2.7", (), "192.0.2.7", "https://192.0.2.7:9"),
    ],
)
def test_url_is_one_that_the_certificate_carries(
    asked: str, names: tuple[str, ...], reported: str, url: str
) -> None:
    assert base_url(asked, names, reported, 9) == url


def test_certificate_carries_an_address_that_others_use() -> None:
    assert certificate_names(listening("127.0.0.1")) == ()
    assert certificate_names(listening("0.0.0.0", ("a.example",))) == ("a.example",)
    assert certificate_names(listening("192.0.2.7", ("a.example",))) == ("a.example", "192.0.2.7")


WAIVED = ("--allow-degraded", "detector")
"""It would be fetched else."""


@pytest.mark.claim("KEY-08")
def test_others_are_not_served_without_a_usable_key(home: Home) -> None:
    check_exposure(home, listening("0.0.0.0"))
    for key in list_keys(home.database):
        revoke_key(home.database, key.id)
    check_exposure(home, listening("127.0.0.1"))
    with pytest.raises(CorralError) as refused:
        check_exposure(home, listening("0.0.0.0"))
    assert refused.value.code == "no_keys"


def test_bad_options_start_nothing(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root), "--print-json")
    assert corral("up", "--host", "example.org", *place).error_code == "config_value"
    assert corral("up", "--port", "70000", *place).error_code == "config_value"
    assert corral("up", "--tier", "none", *place).error_code == "config_value"
    assert corral("up", "--allow-degraded", "seccomp", *place).error_code == "config_value"


def test_first_keys_that_cannot_be_written_are_never_made(corral: Corral, tmp_path: Path) -> None:
    place = Home(tmp_path / "home")
    absent = tmp_path / "absent" / "keys.json"
    ended = corral("up", "--home", str(place.root), "--first-keys", str(absent), "--print-json")
    assert (ended.code, ended.error_code) == (1, "first_keys_unwritable")
    assert "sk-corral" not in ended.out + ended.err
    assert list_keys(place.database) == ()
    absent.parent.mkdir()
    assert prepare(place, Config(), absent) is None
    written = json.loads(absent.read_text())
    assert written["api_key"].startswith("sk-corral-")
    assert len(list_keys(place.database)) == 2
    absent.unlink()
    absent.parent.rmdir()  # taken away by the operator: later starts need no such folder
    assert prepare(place, Config(), absent) is None


def test_first_keys_are_shown_whatever_fails_before_the_server_runs(
    corral: Corral, tmp_path: Path
) -> None:
    place = Home(tmp_path / "home")
    (place.host_report / "in the way").mkdir(parents=True)  # the report on the host fails
    ended = corral("up", "--home", str(place.root), "--print-json", *WAIVED)
    assert (ended.code, ended.error_code) == (1, "state_write_failed")
    assert ended.err.count("sk-corral-") == 2
    again = corral("up", "--home", str(place.root), "--print-json", *WAIVED)
    assert again.error_code == "state_write_failed"
    assert "sk-corral-" not in again.err


def test_nothing_is_shown_where_nothing_fails(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with shown_if_it_fails(None):
        pass
    with pytest.raises(KeyboardInterrupt), shown_if_it_fails(None):
        raise KeyboardInterrupt
    assert capsys.readouterr() == ("", "")
