"""Measurement 3: private memory of the 1st to the Nth worker of the same model.

Each worker belongs to a tenant of its own and has answered one request. Against it stand the
sizes of KV cache and compute buffer that the engine itself states for the same settings. The
bare server's process, and an interpreter that has only imported the engine, show whose the rest is.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from bare_side import BUFFER_VERBOSITY, bare_server, stated_buffers_mib
from corral_side import CorralServer, corral_server, model_file, tenant_key
from goals import Goal, median
from parameters import Plan
from processes import PrivateMemory, private_memory
from prompts import prompts
from stream_client import Connection, Endpoint

from corral.core.home import Home

GOAL_MIB = 30.0
_TOKENS = 16


def measure(home: Home, plan: Plan, work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    log = work / "buffers.log"
    series = prompts()
    with bare_server(model_file(home), log, BUFFER_VERBOSITY) as bare:
        asyncio.run(_one_request(bare.endpoint, next(series)))
        bare_memory = private_memory(bare.pid)
    buffers = stated_buffers_mib(log)
    needed_mib = buffers["KV"] + buffers["compute"]

    names = [f"bench-{number}" for number in range(1, plan.workers + 1)]
    with corral_server(home) as corral:
        keys = {name: tenant_key(home, name) for name in names}
        own = corral.processes()
        idle = {name: asdict(private_memory(pid)) for name, pid in own.items()}
        for name, key in keys.items():
            asyncio.run(_one_request(corral.endpoint(key), next(series)))
            _worker_memory(corral, name)
        workers = [_worker_memory(corral, name) for name in names]
        loaded = {name: asdict(private_memory(pid)) for name, pid in own.items()}
    overheads = [one.anonymous - needed_mib for one in workers]
    goal = Goal(
        "memory of a worker over its buffers", median(overheads), "MiB", GOAL_MIB, at_least=False
    )
    against_bare = Goal(
        "memory of a worker over the bare process",
        median([one.anonymous for one in workers]) - bare_memory.anonymous,
        "MiB",
        GOAL_MIB,
        at_least=False,
    )
    return {
        "stated_buffers_mib": buffers,
        "needed_mib": round(needed_mib, 2),
        "needed_is": "KV and compute buffer, as the engine states them when it loads the model",
        "overhead_is": "Pss_Anon of the worker's process minus needed_mib",
        "bare_mib": asdict(bare_memory),
        "bare_python_mib": round(_python_mib(), 2),
        "workers_mib": [asdict(one) for one in workers],
        "overhead_mib": [round(one, 2) for one in overheads],
        "bare_overhead_mib": round(bare_memory.anonymous - needed_mib, 2),
        "own_processes_mib": {"idle": idle, "with_workers": loaded},
    }, [goal, against_bare]


def _python_mib() -> float:
    """Return what an interpreter takes that has imported the engine and loaded nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys, xllamacpp; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return private_memory(process.pid).anonymous


def _worker_memory(corral: CorralServer, tenant: str) -> PrivateMemory:
    (worker,) = (one for one in corral.workers() if one.tenant == tenant)
    return private_memory(worker.pid)


async def _one_request(endpoint: Endpoint, prompt: str) -> None:
    connection = await Connection.open(endpoint)
    try:
        await connection.ask(prompt, _TOKENS)
    finally:
        connection.close()
