from __future__ import annotations

import os
from pathlib import Path

import pytest

from corral.core.home import Home
from corral.core.ids import Digest


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORRAL_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/u")


def test_the_chosen_folder_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CORRAL_HOME", "/elsewhere")
    assert Home.locate("~/x").root == Path("/home/u/x")
    assert Home.locate().root == Path("/elsewhere")
    monkeypatch.chdir(tmp_path)
    assert Home.locate("x").root == tmp_path / "x"


def test_the_default_depends_on_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert Home.locate().root == Path("/var/lib/corral")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert Home.locate().root == Path("/home/u/.local/share/corral")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert Home.locate().root == Path("/data/corral")


def test_every_path_is_below_the_root() -> None:
    home = Home(Path("/h"))
    paths = {
        name: getattr(home, name)
        for name, value in vars(Home).items()
        if isinstance(value, property)
    }
    assert all(path.is_relative_to("/h") for path in paths.values())
    assert len(set(paths.values())) == len(paths)
    assert home.blob(Digest("0" * 64)) == home.blobs / ("0" * 64)
