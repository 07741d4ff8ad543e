from __future__ import annotations

from pathlib import Path

import pytest

from corral.cli.first_policy import install_first_policy
from corral.cli.main import main
from corral.core.home import Home
from corral.tenancy.setup import initialise
from tests.support.command_line import Corral, Outcome


@pytest.fixture
def corral(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Corral:
    """Run the real command line in this process, never on this machine's own installation."""
    monkeypatch.setenv("CORRAL_HOME", str(tmp_path_factory.getbasetemp() / "no-installation"))

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr("sys.argv", ["corral", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    return call


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An initialised state folder."""
    place = Home(tmp_path / "home")
    initialise(place, on_new=install_first_policy)
    return place
