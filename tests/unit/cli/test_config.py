from __future__ import annotations

import tomllib
from pathlib import Path

from corral.core.config import Config, parse_config
from tests.support.command_line import Corral


def test_what_it_prints_is_a_configuration_file(corral: Corral, tmp_path: Path) -> None:
    (tmp_path / "corral.toml").write_text('[listen]\nport = 9\nnames = ["a.example", "ü"]\n')
    shown = corral("config", "show", "--home", str(tmp_path)).out
    again = parse_config(tomllib.loads(shown))
    assert again.listen.port == 9
    assert again.listen.names == ("a.example", "ü")
    assert again.fetch == Config().fetch


def test_json(corral: Corral, tmp_path: Path) -> None:
    tree = corral("config", "show", "--home", str(tmp_path), "--json").document
    assert tree["listen"]["port"] == 8443
