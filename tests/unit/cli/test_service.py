from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Corral

PROGRAM = "/opt/corral/bin/corral"


def test_install_show_uninstall(corral: Corral, tmp_path: Path) -> None:
    where = ("--root", str(tmp_path), "--program", PROGRAM)
    done = corral("service", "install", *where, "--listen", "0.0.0.0:443", "--json")
    assert (done.code, len(done.document["done"])) == (0, 3)
    again = corral("service", "install", *where, "--listen", "0.0.0.0:443")
    assert "nothing to do" in again.err
    shown = corral("service", "show", *where, "--json").document
    assert set(shown["files"].values()) == {"current"}
    assert "### " in corral("service", "show", *where).out
    assert corral("service", "upgrade", *where, "--json").document == {"done": []}
    gone = corral("service", "uninstall", "--root", str(tmp_path), "--json")
    assert len(gone.document["done"]) == 3
    assert corral("service", "upgrade", *where, "--json").error_code == "not_installed"


def test_purging_asks(corral: Corral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "var/lib/corral"
    state.mkdir(parents=True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: (_ for _ in ()).throw(SystemExit(1)))
    assert corral("service", "uninstall", "--root", str(tmp_path), "--purge").code == 1
    assert state.exists()
    assert corral("service", "uninstall", "--root", str(tmp_path), "--purge", "--yes").code == 0
    assert not state.exists()
