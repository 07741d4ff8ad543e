"""ps and stop against a control socket that speaks the real wire."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corral.cli.server import server_pid, signal_server
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.ipc.messages import WorkerStatus
from tests.support.children import ended
from tests.support.command_line import Corral
from tests.support.launcher_stand_in import answering_launcher


def worker(worker_id: int, kind: str, tenant: str = "", model: str = "") -> WorkerStatus:
    return WorkerStatus(
        worker_id=worker_id, kind=kind, tenant=tenant, model=model, digest="a" * 64, pid=4242,
        runtime="crun", tier="namespaces", rss_bytes=1 << 20, started_s=int(time.time()) - 5,
    )  # fmt: skip


@pytest.fixture
def workers() -> list[WorkerStatus]:
    return [worker(1, "gateway"), worker(2, "engine", "a", "m"), worker(3, "engine", "b", "m")]


def test_ps_lists_engines_and_all_with_all(
    corral: Corral, tmp_path: Path, workers: list[WorkerStatus]
) -> None:
    place = ("--home", str(tmp_path))
    with answering_launcher(Home(tmp_path), workers, 1):
        rows = corral("ps", *place, "--json").document
        assert [(r["tenant"], r["model"]) for r in rows] == [("a", "m"), ("b", "m")]
        assert set(rows[0]) == {
            "kind", "tenant", "model", "digest", "pid", "runtime", "tier", "rss_bytes", "uptime_s",
        }  # fmt: skip
        assert 5 <= rows[0]["uptime_s"] < 60
        assert len(corral("ps", "--all", *place, "--json").document) == 3
        assert "4242" in corral("ps", *place).out


def test_stop_ends_only_the_workers_that_are_meant(
    corral: Corral, tmp_path: Path, workers: list[WorkerStatus]
) -> None:
    place = ("--home", str(tmp_path), "--json")
    with answering_launcher(Home(tmp_path), workers, 1):
        stopped = corral("stop", "m", "--tenant", "a", *place).document
        assert stopped == {"stopped": [{"tenant": "a", "model": "m"}]}
        assert corral("stop", "m", "--tenant", "a", *place).error_code == "no_such_worker"
        assert corral("stop", "--tenant", "b", *place).code == 0
    assert [w.kind for w in workers] == ["gateway"]


def test_stop_signals_the_server_and_waits_for_its_end(corral: Corral, tmp_path: Path) -> None:
    with ended(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])) as server:
        with answering_launcher(Home(tmp_path), [], server.pid):
            stopped = corral("stop", "--home", str(tmp_path), "--json").document
        assert stopped == {"stopped": "server", "pid": server.pid}
        assert server.wait(5) == -signal.SIGTERM


def test_a_server_that_does_not_end_is_said_so(tmp_path: Path) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print(); time.sleep(60)"
    with ended(subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)) as server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            with (
                answering_launcher(Home(tmp_path), [], server.pid),
                pytest.raises(CorralError) as refused,
            ):
                signal_server(Home(tmp_path), signal.SIGTERM, wait_s=0.2)
            assert refused.value.code == "still_running"
        finally:
            server.kill()


def test_a_pid_left_by_a_killed_server_is_not_believed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.run.mkdir()
    home.lock_file.write_text("1\n")
    with pytest.raises(CorralError) as refused:
        server_pid(home)
    assert refused.value.code == "not_running"
