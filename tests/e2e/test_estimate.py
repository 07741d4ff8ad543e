"""The estimate of a worker's memory against what the kernel counts, in the real jail."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from corral.admission.catalog import CatalogEntry
from corral.admission.demand import Demand, make_demand
from corral.cli.models import find_model
from corral.control.client import LauncherClient
from corral.core.config import Engine
from corral.core.home import Home
from corral.core.ids import TenantName
from corral.engine.local import LocalWorker
from corral.engine.measured import Measured, measure_memory
from corral.engine.wire import End, Generate, Message, Sampling
from corral.ipc.messages import StartEngine
from tests.support.measured_launcher import start_job
from tests.support.server import MODEL, copy_home

WITHIN_PERCENT = 15


def start_of(entry: CatalogEntry, demand: Demand) -> StartEngine:
    return StartEngine(
        tenant=TenantName("t"), model=entry.name, digest=entry.digest, quarantined=False,
        context_tokens=demand.estimate.context_tokens, parallel=demand.estimate.parallel,
        threads=demand.threads, memory_bytes=demand.memory_bytes,
    )  # fmt: skip


def measured(client: LauncherClient, entry: CatalogEntry, demand: Demand) -> Measured:
    """Load the model, have it answer, and return what the kernel counts."""
    ask = Generate(
        id=1, sampling=Sampling(max_tokens=8, temperature=0),
        messages=(Message("user", "Why is the sky blue? " * 20),),
    )  # fmt: skip
    with LocalWorker(client, start_of(entry, demand), entry.receipt.template.text) as worker:
        *_, end = worker.generate(ask)
        assert isinstance(end, End)
        found = measure_memory(worker.pid)
    assert found is not None
    return found


@pytest.mark.claim("EST-01")
def test_the_estimate_is_near_what_the_kernel_counts(model_home: Path, tmp_path: Path) -> None:
    home = Home(copy_home(model_home, tmp_path / "home"))
    entry = find_model(home, MODEL)
    launcher = start_job(home, {})
    for tokens, parallel in ((512, 1), (2048, 4), (8192, 1)):
        demand = make_demand(entry.receipt, Engine(), tokens=tokens, parallel=parallel)
        estimate, found = demand.estimate, measured(launcher.client, entry, demand)
        print(tokens, parallel, estimate.private_bytes >> 10, found, estimate.total_bytes >> 10)
        for part, counted in (
            (estimate.private_bytes, found.private_bytes),
            (estimate.total_bytes, found.peak_bytes),
        ):
            assert abs(part - counted) * 100 <= WITHIN_PERCENT * counted, (tokens, parallel)
        assert found.peak_bytes < demand.memory_bytes
    # The attack: a file that hides its vocabulary and its layers would be let in on less.
    hiding = replace(entry.receipt.memory, kv_bytes_per_token=1, vocabulary=1, merges=0)
    lying = replace(entry.receipt, memory=hiding)
    less = make_demand(lying, Engine(), tokens=8192, parallel=1).estimate.private_bytes
    assert less * 2 < found.private_bytes
    assert launcher.end() == 0
    launcher.monitor.stderr.close()  # type: ignore[union-attr]
