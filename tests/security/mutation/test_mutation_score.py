"""Take each wall away, one at a time: the probes that are named for it must turn red.

This is the test of the selftest itself. A selftest that stays green without a wall proves nothing
about that wall.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import corral
from corral.cli.job_unsafe import job_launcher
from corral.control.client import LauncherClient
from corral.control.command import selftest_command
from corral.core.home import Home
from corral.selftest.catalog import load_catalog
from corral.selftest.run import ZoneRun, run_controls, run_jail
from corral.selftest.targets_unsafe import Targets, made_targets
from corral.selftest.twin import made_twin
from corral.selftest.verdict import Verdict, judge
from tests.security.mutation.walls import WALLS
from tests.support.server import copy_home
from tests.support.tiny_detector import make_detector

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("mutant_launcher.py")
OWN_LAUNCHER = {"read-only root", "launcher capabilities"}
"""Walls that are built when a launcher starts."""


class Mutants:
    """A launcher whose jails lack the walls that are named before each start."""

    def __init__(
        self, home: Home, folder: Path, targets: Targets, controls: dict[str, str]
    ) -> None:
        self._home = home
        self._chosen = folder / "removed"
        self._chosen.touch()
        self._targets = targets
        self._controls = controls
        self._stack = ExitStack()
        self._client: LauncherClient | None = None

    def _command(self, home: Home, settings: object, fd: int) -> list[str]:
        argv = selftest_command(home, {"sandbox.runtime": "crun"}, fd)
        rest = argv[argv.index("selftest") :]
        source = str(Path(corral.__file__).parents[1])
        return [
            sys.executable,
            "-I",
            "-S",
            str(PROGRAM),
            source,
            str(ROOT),
            str(self._chosen),
            *rest,
        ]

    def reds(self, names: tuple[str, ...], zone: str, only: str = "") -> dict[str, str]:
        """Return the red probes and their outcomes with walls removed."""
        self._chosen.write_text("\n".join(names))
        with ExitStack() as stack:
            if set(names) & OWN_LAUNCHER:
                client = stack.enter_context(job_launcher(self._home, {}, command=self._command))
            else:
                client = self._shared()
            return self._reds(client, zone, only)

    def _shared(self) -> LauncherClient:
        if self._client is None:
            made = job_launcher(self._home, {}, command=self._command)
            self._client = self._stack.enter_context(made)
        return self._client

    def _reds(self, client: LauncherClient, zone: str, only: str) -> dict[str, str]:
        probes = [p for p in load_catalog().values() if zone in p.only and (only or not p.alone)]
        probes = [p for p in probes if (p.id == only if only else not p.exhausts)]
        skip = tuple(p.id for p in load_catalog().values() if p not in probes or p.look)
        run = ZoneRun()
        outcomes = run_jail(client, self._targets, zone, run=run, only=only, skip=skip)
        lines = [
            judge(
                p, zone=zone, runtime=run.runtime, tier=run.tier,
                outcome=outcomes.get(p.id, "missing"),
                control=self._controls.get(p.id, "missing"),
            )
            for p in probes
        ]  # fmt: skip
        return {li.probe.id: li.outcome for li in lines if li.verdict is Verdict.RED}

    def close(self) -> None:
        self._stack.close()


@contextmanager
def made_mutants(home: Home, folder: Path) -> Iterator[Mutants]:
    with made_targets(home.blobs, home.quarantine) as targets, made_twin() as twin:
        mutants = Mutants(home, folder, targets, run_controls(targets, twin, full=True))
        try:
            yield mutants
        finally:
            mutants.close()


@pytest.fixture(scope="module")
def mutants(
    model_home: Path, tmp_path_factory: pytest.TempPathFactory, needs_runtime: Callable[[str], None]
) -> Iterator[Mutants]:
    needs_runtime("crun")
    home = Home(copy_home(model_home, tmp_path_factory.mktemp("mutation") / "home"))
    make_detector(home.detector)  # else there is no zone `guard`
    with made_mutants(home, tmp_path_factory.mktemp("chosen")) as made:
        yield made


@pytest.fixture(scope="module")
def score() -> Iterator[dict[str, bool]]:
    killed: dict[str, bool] = {}
    yield killed
    print(f"\nmutation score: {sum(killed.values())} of {len(killed)} walls")


def test_the_catalog_names_the_walls_that_are_removed() -> None:
    named = {wall for probe in load_catalog().values() for wall in probe.walls}
    # The selftest's own side and the image's builder have unit tests: ESC-04, SBX-12.
    tested_elsewhere = {"image", "bounded readers", "discarded errors", "mount flags",
                        "environment hygiene"}  # fmt: skip
    assert named - tested_elsewhere <= set(WALLS)


@pytest.mark.parametrize("zone", ["engine", "sealed", "scan", "guard", "fetch", "gateway"])
def test_with_every_wall_nothing_is_red(mutants: Mutants, zone: str) -> None:
    assert mutants.reds((), zone) == {}


@pytest.mark.claim("ESC-08")
@pytest.mark.parametrize("name", WALLS)
def test_each_wall_is_missed(mutants: Mutants, score: dict[str, bool], name: str) -> None:
    wall = WALLS[name]
    before = mutants.reds(wall.base, wall.zone, wall.only) if wall.base else {}
    after = mutants.reds((*wall.base, name), wall.zone, wall.only)
    # A program that died before it answered has noticed nothing.
    noticed = {k for k in wall.killers if after.get(k, "missing") not in {"missing", before.get(k)}}
    score[name] = noticed == set(wall.killers)
    assert noticed == set(wall.killers), after
