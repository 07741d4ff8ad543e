"""Random system calls from every zone's place, behind the filters that it starts with.

The engine's zone is the worker before its model is loaded; after that: `test_random_calls.py`.
CORRAL_RANDOM_ZONES_S sets the seconds for each zone and runtime (1), CORRAL_RANDOM_CALLS_SEED the
seed.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from corral.cli.job_unsafe import selftest_launcher
from corral.control.client import LauncherClient
from corral.core.home import Home
from corral.ipc.messages import StartProbe
from corral.sandbox.policy import KINDS
from tests.security.syscalls.host_state import changes, host_state
from tests.security.syscalls.live_filters import live_filters
from tests.security.syscalls.live_zones import ENTRY_FILTERS
from tests.security.syscalls.test_random_calls import SEED, allowed
from tests.support.server import copy_home
from tests.support.tiny_detector import make_detector

PROGRAM = Path(__file__).with_name("random_worker.py")
SECONDS = float(os.environ.get("CORRAL_RANDOM_ZONES_S", "1"))
OUTSIDE_PER_S = 1_000


@dataclass
class Jail:
    """The program in one zone's jail; closing it ends it."""

    pid: int
    stdin: int
    stdout: int

    @classmethod
    def start(cls, launcher: LauncherClient, zone: str) -> Jail:
        answer, fds = launcher.start(StartProbe(zone))
        os.close(fds[2])
        return cls(answer.pid, fds[0], fds[1])

    def order(self, table: dict[int, object], seconds: float) -> dict[str, object] | None:
        """Return what the program says of its calls; None if it ended itself."""
        at_least = int(OUTSIDE_PER_S * seconds) + 1 if seconds else 0
        order = {"seed": SEED, "seconds": seconds, "allowed": table, "at_least": at_least}
        text = json.dumps(order) + "\n"
        told = b""
        try:
            os.write(self.stdin, text.encode())
        except BrokenPipeError:
            return None
        while not told.endswith(b"\n"):
            piece = os.read(self.stdout, 65536)
            if not piece:
                return None
            told += piece
        return json.loads(told)

    def close(self) -> None:
        os.close(self.stdin)
        os.close(self.stdout)


@pytest.fixture(scope="module", params=["crun", "runc"])
def launcher(request, needs_runtime, model_home, tmp_path_factory):
    needs_runtime(request.param)
    home = copy_home(model_home, tmp_path_factory.mktemp("random") / "home")
    make_detector(home / "detector")  # that there is one makes its zone
    with selftest_launcher(Home(home), {"sandbox.runtime": request.param}):
        pass  # every image is there now
    for probes in home.glob(
        "images/*/rootfs/opt/python/lib/python3.*/site-packages/corral/selftest/probes"
    ):
        for cached in probes.glob("__pycache__/program.*"):
            cached.unlink()
        (probes / "program.py").unlink()  # shared with the template by a hard link
        shutil.copyfile(PROGRAM, probes / "program.py")
        (probes / "program.py").chmod(0o644)
    with selftest_launcher(Home(home), {"sandbox.runtime": request.param}) as client:
        yield client


@pytest.mark.claim("SYS-06")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("zone", KINDS)
def test_random_calls_of_a_zone_reach_nothing_and_nobody(zone, launcher, host_settings):
    with closing(Jail.start(launcher, zone)) as other, closing(Jail.start(launcher, zone)) as jail:
        filters = live_filters(jail.pid, at_least=ENTRY_FILTERS)
        assert len(filters) == ENTRY_FILTERS
        table = allowed(filters)
        before = host_state()
        before = {name: value for name, value in host_state().items() if before[name] == value}
        told = jail.order(table, SECONDS)
        assert told, "it ended itself"
        print(f"{zone}: { ({k: v for k, v in told.items() if k != 'through'}) }")
        assert told["through"] == []
        assert told["outside"] > OUTSIDE_PER_S * SECONDS
        assert told["succeeded"] > 0  # it does make the calls that are allowed
        after = host_state()
        assert changes(before, {name: after.get(name) for name in before}) == {}
        # Its neighbour, the same process, still answers.
        assert psutil.pid_exists(other.pid)
        assert other.order(table, 0)
