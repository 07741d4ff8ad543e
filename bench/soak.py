"""`make soak`: fifty tenants for half an hour; memory, descriptors and whose bytes go where.

    bench/soak.py [--minutes 30] [--tenants 50] [--seed N] [--out DIR]

Few engines are allowed and they are unloaded soon, so that most requests start one, evict one, or
find one that is just going. Tenants ask, stream, leave, are refused, are frozen and thawed; every
few minutes all of them are silent until no worker is left, and what the server then holds is
compared. Searched for other tenants' canaries: every reply, the memory of live workers and of the
launcher, and at the end every file of the installation. Each search has a control.

It asserts no times, so other work beside it does no harm.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import plots
from corral_side import CorralServer, bench_home, corral_server
from goals import Goal
from machine import load_average, machine_facts
from parameters import MODEL, MODEL_SHA256
from soak_herd import Herd
from soak_watch import OWN, Sample, Watch
from trend import blocks, slope, slope_interval

from corral.core.home import Home
from corral.tenancy.grants import grant_model
from corral.tenancy.keys import create_key
from corral.tenancy.tenants import add_tenant
from corral.tenancy.token import load_pepper
from tests.support.canaries import marks_in_file, marks_in_memory
from tests.support.server import copy_home, leftovers_of

_SETTINGS = """\
# Written by bench/soak.py.
[engine]
context_tokens = 256
parallel = 2
threads = 1
max_workers = 6
idle_unload_s = 8

[limits]
requests_per_minute = 600
"""
_LOOK_S = 4.0
_FREEZE_S = 25.0
_MEMORY_S = 45.0
_CYCLE_S = 180.0
_REST_S = 60.0
_GROWTH_MIB = 1.0
_CORRAL = Path(sys.executable).parent / "corral"


@dataclass
class Searched:
    """Where marks were looked for besides replies.

    Attributes:
        memories: of workers that were read.
        memory_own: marks of their own tenants in them: the control.
        memory_foreign: of others, in workers; of anybody, in the launcher.
        files_foreign: files of the installation with a mark, while it ran and after its end.
        files_control: whether one that is stored on purpose was found.
    """

    memories: int = 0
    memory_own: int = 0
    memory_foreign: int = 0
    files: int = 0
    files_foreign: list[str] = field(default_factory=list)
    files_control: bool = False


@dataclass
class Soak:
    """One run and what it saw."""

    server: CorralServer
    herd: Herd
    watch: Watch
    dice: random.Random
    searched: Searched = field(default_factory=Searched)
    rests: list[Sample] = field(default_factory=list)
    freezes: int = 0

    async def run(self, seconds: float) -> None:
        """Let them live for so long, in cycles that end at rest."""
        cycle_s = min(_CYCLE_S, seconds / 3)
        until = time.monotonic() + seconds
        jobs = [
            asyncio.create_task(one)
            for one in (self.herd.live(), self._look(), self._freeze(), self._search_memory())
        ]
        try:
            while time.monotonic() < until:
                self.herd.awake.set()
                busy = asyncio.create_task(asyncio.sleep(cycle_s - 20))
                done, _ = await asyncio.wait([busy, *jobs], return_when="FIRST_COMPLETED")
                for ended in done - {busy}:
                    ended.result()
                    raise RuntimeError("a part of the soak ended early")
                await self.herd.rest()
                if not await asyncio.to_thread(self.watch.until_at_rest, _REST_S):
                    raise RuntimeError("workers were not unloaded for being idle")
                await asyncio.sleep(2)
                self.rests.append(await asyncio.to_thread(self.watch.look))
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await asyncio.to_thread(self.watch.look)
            await asyncio.sleep(_LOOK_S)

    async def _freeze(self) -> None:
        """Freeze one tenant for some seconds, by the verbs, again and again."""
        while True:
            await asyncio.sleep(self.dice.expovariate(1 / _FREEZE_S))
            await self.herd.awake.wait()
            name = self.dice.choice(self.herd.tenants).name
            try:
                await asyncio.to_thread(self._corral, "tenant", "freeze", name)
                await asyncio.sleep(3)
            finally:
                await asyncio.to_thread(self._corral, "tenant", "thaw", name)
            self.freezes += 1

    async def _search_memory(self) -> None:
        while True:
            await asyncio.sleep(_MEMORY_S)
            await self.herd.awake.wait()
            await asyncio.to_thread(self._search_memories)

    def _search_memories(self) -> None:
        live = self.server.workers()
        chosen = [(one.pid, one.tenant) for one in self.dice.sample(live, min(2, len(live)))]
        for pid, tenant in [*chosen, (self.watch.own["launcher"], "")]:
            with suppress(OSError):  # it was unloaded meanwhile
                marks = marks_in_memory(pid)
                own, foreign, _ = self.herd.canaries.count(tenant, marks)
                self.searched.memories += bool(tenant)
                self.searched.memory_own += own
                self.searched.memory_foreign += foreign

    def search_files(self) -> list[Path]:
        """Return files of the installation that hold a mark."""
        found: list[Path] = []
        for folder, _, names in os.walk(self.server.home.root):
            if "/images/" in folder or "/sha256" in folder:
                continue
            self.searched.files += len(names)
            found += [Path(folder, name) for name in names if marks_in_file(Path(folder, name))]
        return found

    def control_files(self) -> None:
        """Store a mark on purpose, as a key's name: it must be found."""
        mark = self.herd.canaries.new("operator")
        name = self.herd.tenants[0].name
        self._corral("key", "create", name, "--name", mark)
        self.searched.files_control = {path.parent.name for path in self.search_files()} == {
            "state", "audit"
        }  # fmt: skip

    def _corral(self, *arguments: str) -> None:
        subprocess.run(
            [str(_CORRAL), *arguments, "--json", "--home", str(self.server.home.root)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120, check=True,
        )  # fmt: skip


def main() -> int:
    """Run it; the exit code is 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--tenants", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20261129)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="corral-soak-") as work:
        temporary = Path(work, "tmp")
        temporary.mkdir()
        os.environ["TMPDIR"] = str(temporary)  # the server's own from here on
        home = Home(copy_home(bench_home().root, Path(work, "home")))
        soak, leftovers, facts = _soaked(home, temporary, options)
    growths = _growths(soak.watch.samples)
    goals = _goals(soak, growths, leftovers)
    document = {
        "measurement": "soak",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "minutes": options.minutes,
        "tenants": options.tenants,
        "seed": options.seed,
        "load_before": load_before,
        "load_after": load_average(),
        "machine": machine_facts(),
        "engine": {"model": MODEL, "model_sha256": MODEL_SHA256},
        "settings": _SETTINGS,
        "goals": [one.record() for one in goals],
        "memory_growth_second_half": growths,
        "canaries": len(soak.herd.canaries),
        "replies": soak.herd.tally.record(),
        "searched": asdict(soak.searched),
        "freezes": soak.freezes,
        "log_events": facts,
        "leftovers": leftovers,
        "rests": [one.footprint | {"at_s": one.at_s} for one in soak.rests],
        "samples": [asdict(one) for one in soak.watch.samples],
    }
    (options.out / "soak.json").write_text(json.dumps(document) + "\n", encoding="utf-8")
    plots.draw(document, options.out)
    for one in goals:
        print(f"{'met   ' if one.met else 'MISSED'} {one.name}: {one.figure:g} {one.unit}")
    return 0 if all(one.met for one in goals) else 1


def _soaked(
    home: Home, temporary: Path, options: argparse.Namespace
) -> tuple[Soak, dict[str, list[str]], dict[str, int]]:
    with corral_server(home, settings=_SETTINGS) as server:
        keys = _with_keys(home, options.tenants)
        soak = asyncio.run(_run(server, keys, temporary, options))
        found = soak.search_files()
    soak.searched.files_foreign = sorted({path.name for path in (*found, *soak.search_files())})
    logged = [json.loads(line) for line in home.log_file.read_text("utf-8").splitlines()]
    events = Counter(
        " ".join(str(line[name]) for name in ("event", "reason", "status") if name in line)
        for line in logged
    )
    leftovers = leftovers_of(home.root)
    soak.control_files()
    return soak, leftovers, dict(events)


async def _run(
    server: CorralServer, keys: dict[str, str], temporary: Path, options: argparse.Namespace
) -> Soak:
    soak = Soak(
        server=server,
        herd=Herd(server, keys, options.seed),
        watch=Watch(server, server.processes(), temporary),
        dice=random.Random(options.seed),
    )
    await soak.run(options.minutes * 60)
    return soak


def _with_keys(home: Home, count: int) -> dict[str, str]:
    keys: dict[str, str] = {}
    for number in range(count):
        name = f"soak-{number:02d}"
        add_tenant(home.database, name)
        grant_model(home.database, name, "*")
        keys[name], _ = create_key(
            home.database, load_pepper(home.pepper), tenant=name, name="soak"
        )
    return keys


def _growths(samples: list[Sample]) -> dict[str, dict[str, object]]:
    """Return for each process how its anonymous memory went over the second half, in MiB."""
    second = samples[len(samples) // 2 :]
    length_s = second[-1].at_s - second[0].at_s
    found: dict[str, dict[str, object]] = {}
    for name in OWN:
        points = blocks([(one.at_s, one.memory_mib[name][0]) for one in second])
        low, high = slope_interval(points)
        found[name] = {
            "mib": round(slope(points) * length_s, 3),
            "interval_mib": [round(low * length_s, 3), round(high * length_s, 3)],
            "length_s": round(length_s),
        }
    return found


def _goals(
    soak: Soak, growths: dict[str, dict[str, object]], leftovers: dict[str, list[str]]
) -> list[Goal]:
    first, last = soak.rests[0], soak.rests[-1]
    searched, tally = soak.searched, soak.herd.tally
    controls = (tally.own, searched.memory_own, searched.files_control)
    differing = sum(first.footprint[key] != last.footprint[key] for key in first.footprint)
    statuses = sum((each for each in tally.outcomes.values()), Counter[str]())
    counted = {
        "other tenants' marks in replies": tally.foreign,
        "other tenants' marks in memory": searched.memory_foreign,
        "files with a mark": len(searched.files_foreign),
        "searches whose control failed": sum(not one for one in controls),
        "counts that differ between the first and the last rest": differing,
        "left after the end": sum(len(one) for one in leftovers.values()),
        "answers with status 500": statuses["500"],
    }
    goals = [Goal(name, float(many), "", 0, at_least=False) for name, many in counted.items()]
    for name, each in growths.items():
        low, high = each["interval_mib"]  # type: ignore[misc]
        goals.append(
            Goal(
                f"growth of the {name} over the second half", float(str(each["mib"])), "MiB",
                _GROWTH_MIB, at_least=False, interval=(low, high),
            )
        )  # fmt: skip
    return goals


if __name__ == "__main__":
    sys.exit(main())
