from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.service.layout import DEFAULT_LISTEN, Layout, parse_listen, this_program


def chosen(**changes: object) -> Layout:
    options = {"personal": False, "root": None, "program": Path("/opt/corral/bin/corral"),
               "listen": "127.0.0.1:8443"}  # fmt: skip
    return Layout.choose(**(options | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "meant"),
    [("127.0.0.1:8443", "127.0.0.1:8443"), ("[::1]:443", "[::1]:443"), ("::1:443", "[::1]:443"),
     ("0.0.0.0:1", "0.0.0.0:1")],
)  # fmt: skip
def test_addresses(text: str, meant: str) -> None:
    assert parse_listen(text) == meant


@pytest.mark.parametrize(
    "text", ["", "8443", "localhost:1", "1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:+1",
             "1.2.3.4:80\nExecStart=x", "/run/a.sock"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(CorralError) as caught:
        parse_listen(text)
    assert caught.value.code == "bad_listen"


def test_units_name_the_program_and_the_address() -> None:
    layout = chosen()
    texts = {path.name: text for path, text in layout.files().items()}
    assert set(texts) == {"corral.socket", "corral.service", "corral.conf"}
    assert "ListenStream=127.0.0.1:8443\n" in texts["corral.socket"]
    assert "ExecStart=/opt/corral/bin/corral up --home /var/lib/corral" in texts["corral.service"]
    assert not any(re.search("@[A-Z]+@", text) for text in texts.values())


def test_units_of_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    layout = chosen(personal=True)
    assert set(layout.files()) == {
        tmp_path / ".config/systemd/user/corral.socket",
        tmp_path / ".config/systemd/user/corral.service",
    }
    text = layout.files()[layout.units / "corral.service"]
    assert "User=" not in text
    assert f"--home {tmp_path}/.local/share/corral" in text


@pytest.mark.parametrize("path", ["/opt/a b/corral", "/opt/%n/corral", '/opt/"/corral', "/a\nb"])
def test_paths_that_mean_something_in_a_unit(path: str) -> None:
    with pytest.raises(CorralError) as caught:
        chosen(program=Path(path))
    assert caught.value.code == "bad_path"


@pytest.mark.parametrize("prefix", ["/root/venv", "/home/me/venv", "/tmp/venv"])
def test_a_python_that_the_service_could_not_see(
    monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    monkeypatch.setattr(sys, "base_prefix", prefix)
    with pytest.raises(CorralError) as caught:
        chosen(program=None)
    assert caught.value.code == "program_hidden"
    assert chosen(program=None, personal=True)


def test_a_users_unit_shows_where_corral_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/me/venv")
    monkeypatch.setattr(sys, "base_prefix", "/root/python")
    layout = Layout(
        personal=True, root=Path("/"), program=this_program(), state=Path("/home/me/state"),
        listen=DEFAULT_LISTEN,
    )  # fmt: skip
    parts = layout.hidden_parts()
    assert {Path("/home/me/venv"), Path("/root/python")} <= set(parts)
    assert not any(part in other.parents for part in parts for other in parts)
    (unit,) = (text for path, text in layout.files().items() if path.name == "corral.service")
    assert f"BindReadOnlyPaths={' '.join(map(str, parts))}\n" in unit
    assert "BindPaths=/home/me/state -%t/systemd/notify\n" in unit
    assert replace(layout, program=Path("/usr/bin/corral")).hidden_parts() == []
