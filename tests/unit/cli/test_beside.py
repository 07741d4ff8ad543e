"""Tasks beside a server: each at its own time, none by another's error, none after its end."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from corral.cli.beside import energy_task, run_beside, tasks_beside
from corral.core.config import Config
from corral.core.home import Home
from corral.state.database import open_database
from corral.state.transaction import transaction
from corral.tenancy.usage import sum_usage
from tests.support.children import ended
from tests.unit.doctor.test_energy import zone
from tests.unit.tenancy.test_energy import _ROW


def test_each_task_at_its_time_until_the_server_ends(capsys: pytest.CaptureFixture[str]) -> None:
    counts = [0, 0, 0]

    def often() -> float:
        counts[0] += 1
        if counts[0] == 20:
            server.kill()
        return 0.01

    def once() -> float:
        counts[1] += 1
        return 3600

    def broken() -> float:
        counts[2] += 1
        raise ValueError("secret insides")

    with ended(subprocess.Popen(["/bin/sleep", "60"])) as server:
        pidfd = os.pidfd_open(server.pid)
        tasks = (often, once, broken)
        thread = threading.Thread(target=lambda: run_beside(tasks, pidfd, again_s=0.01))
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        os.close(pidfd)
    assert counts[0] >= 20
    assert counts[1] == 1
    assert counts[2] > 1, "its error ended neither it nor the others"
    assert "secret insides" not in capsys.readouterr().err


def test_energy_of_before_the_first_look_is_nobodys(tmp_path: Path) -> None:
    open_database(tmp_path / "corral.db")
    counted = iter([50.0, 8.0])
    work = energy_task(tmp_path / "corral.db", lambda: next(counted))
    for _ in range(2):
        with transaction(tmp_path / "corral.db") as connection:
            connection.execute(_ROW, ("acme", 1 << 40))
        assert work() == 60
    (total,) = sum_usage(tmp_path / "corral.db", by=("tenant",))
    assert total.energy_j == pytest.approx(8, rel=1e-3)


def test_only_what_is_needed_runs(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert tasks_beside(home, Config(), tmp_path) == ()
    zone(tmp_path, "0", "package-0", 1)
    assert len(tasks_beside(home, Config(), tmp_path)) == 1
    with_oidc = replace(
        Config(),
        identity=replace(Config().identity, oidc={"corp": {"issuer": "https://id.example.org"}}),
    )
    assert len(tasks_beside(home, with_oidc, tmp_path)) == 2
