"""Memory planned and counts shown by a real server: real engine, real jails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from corral.admission.demand import make_demand
from corral.cli.models import find_model
from corral.cli.readback import cgroup_folders
from corral.core.config import Config
from corral.core.home import Home
from tests.support.server import MODEL, RunningServer

LONG = (
    "Write a long and detailed story of at least five hundred words about a fisherman who finds a "
    "map in the old harbour. Describe the weather, the people, and what they say to each other."
)
"""Answered at length, at temperature 0 the same each time: the worker stays busy meanwhile."""


@contextmanager
def slowed(pid: int) -> Iterator[None]:
    """Give a worker a tenth of a core."""
    folder, _ = next(cgroup_folders(Path(f"/proc/{pid}"), Path("/proc/self"), "cpu"))
    file, little, whole = folder / "cpu.cfs_quota_us", "10000", "-1"
    if not file.exists():
        file, little, whole = folder / "cpu.max", "10000 100000", "max 100000"
    file.write_text(little)
    try:
        yield
    finally:
        file.write_text(whole)


@pytest.mark.claim("CAP-02")
def test_a_second_tenant_waits_for_memory_and_gets_it(
    home: Path, server_factory: Callable[..., RunningServer]
) -> None:
    estimate = make_demand(find_model(Home(home), MODEL).receipt, Config().engine).estimate
    total = estimate.total_bytes + estimate.private_bytes // 2
    (home / "corral.toml").write_text(
        f"[engine]\nmemory_total_bytes = {total}\nmemory_reserve_bytes = 0\nchunk_timeout_s = 900\n"
    )
    server = server_factory()
    other = server.openai(server.add_tenant("other"))
    text = "Tell me of the sea."
    running = server.openai().chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": LONG}], temperature=0,
        max_tokens=1000, stream=True,
    )  # fmt: skip
    next(iter(running))
    # However fast the machine is, the answer lasts for longer than a start waits for a place.
    with slowed(server.workers()[0]["pid"]), pytest.raises(openai.InternalServerError) as refused:
        other.completions.create(model=MODEL, prompt=text, max_tokens=2)
    assert refused.value.code == "insufficient_memory"
    assert int(refused.value.response.headers["retry-after"]) >= 1
    assert [one["tenant"] for one in server.workers()] == ["default"]
    # Idle, it makes room.
    running.close()
    while True:
        try:
            other.completions.create(model=MODEL, prompt=text, max_tokens=2)
            break
        except openai.InternalServerError as error:
            assert error.code == "insufficient_memory"
    assert [one["tenant"] for one in server.workers()] == ["other"]

    page = server.http(server.admin_key).get("/metrics").text
    found = {
        (one.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(page)
        for one in family.samples
    }
    assert found["corral_worker_unloads_total", "memory"] == 1
    assert found["corral_worker_memory_bytes", "engine"] > estimate.weights_bytes
    assert found["corral_worker_memory_bytes", "gateway"] > 10_000_000
    assert found[("corral_gateway_cpu_seconds_total",)] > 0
    assert found["corral_requests_total", "insufficient_memory", "completions"] >= 1
