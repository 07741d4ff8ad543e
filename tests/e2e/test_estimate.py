"""Estimate and trial load of the demo model, in the real jail."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from corral.admission.catalog import CatalogEntry
from corral.admission.demand import Demand, make_demand
from corral.admission.trusted_model import Estimated
from corral.cli.models import find_model
from corral.control.client import LauncherClient
from corral.core.config import Config, Engine
from corral.core.home import Home
from corral.core.ids import TenantName
from corral.engine.local import LocalWorker
from corral.engine.measured import Measured, measure_memory
from corral.engine.trial import EngineTrial
from corral.engine.wire import End, Generate, Message, Sampling
from corral.ipc.messages import StartEngine
from tests.support.estimated import estimated
from tests.support.measured_launcher import start_job
from tests.support.server import MODEL, copy_home

WITHIN_PERCENT = 15


def quarantined(home: Home, entry: CatalogEntry, control_tokens: tuple[str, ...]) -> Estimated:
    """Put the admitted blob back into quarantine; return it as examined, with these tokens."""
    folder = home.quarantine / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / entry.digest).exists():
        shutil.copy(home.blob(entry.digest), folder / entry.digest)
        (folder / entry.digest).chmod(0o444)
    return estimated(entry.digest, control_tokens, memory=entry.receipt.memory)


@pytest.mark.claim("TRI-01")
def test_the_real_engine_tells_a_control_token_from_a_text(
    model_home: Path, tmp_path: Path
) -> None:
    home = Home(copy_home(model_home, tmp_path / "home"))
    entry = find_model(home, MODEL)
    assert entry.receipt.trial is not None
    assert entry.receipt.trial.control_tokens == 8
    launcher = start_job(home, {})
    trial = EngineTrial(launcher.client, Config())
    sound = trial.load(quarantined(home, entry, ("<|im_start|>", "<|im_end|>")))
    assert sound.ok, sound.code
    # A text that the vocabulary has not as a token is several.
    lying = trial.load(quarantined(home, entry, ("<|im_start|>", "<|no_such_token|>")))
    assert lying.code == "trial_control_token"
    assert launcher.end() == 0
    launcher.monitor.stderr.close()  # type: ignore[union-attr]


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
