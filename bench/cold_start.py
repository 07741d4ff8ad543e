"""Measurement 2: from nothing loaded to the first token, for each runtime, against bare.

corral: the server runs, its worker was unloaded for being idle; the clock runs from before the TCP
connection to the first token. Bare: the clock runs from the start of the server's process to the
first token. The model file is in the page cache for both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from bare_side import bare_server
from corral_side import CorralServer, corral_server, model_file, tenant_key
from goals import Goal, median, rounded
from machine import installed
from parameters import Plan
from prompts import prompts
from stream_client import Connection, Endpoint

from corral.core.home import Home

GOAL_MS = 300.0
_TOKENS = 4
_SETTLE_S = 0.3


def measure(home: Home, plan: Plan, work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    series = prompts()
    runtimes: dict[str, dict[str, object]] = {}
    goals: list[Goal] = []
    for runtime in installed(plan.runtimes):
        corral_ms: list[float] = []
        bare_ms: list[float] = []
        with corral_server(home, runtime, idle_unload_s=1) as corral:
            key = tenant_key(home, "default")
            _corral_cold(corral, key, series)  # reads files and images into the page cache
            for number in range(plan.cold_starts):
                if number % 2:
                    bare_ms.append(_bare_cold(home, work, series))
                    corral_ms.append(_corral_cold(corral, key, series))
                else:
                    corral_ms.append(_corral_cold(corral, key, series))
                    bare_ms.append(_bare_cold(home, work, series))
        added_ms = median(corral_ms) - median(bare_ms)
        runtimes[runtime] = {
            "corral_ms": rounded(corral_ms),
            "bare_ms": rounded(bare_ms),
            "corral_ms_median": round(median(corral_ms), 3),
            "bare_ms_median": round(median(bare_ms), 3),
            "added_ms": round(added_ms, 3),
        }
        goals.append(
            Goal(f"cold start over bare, {runtime}", added_ms, "ms", GOAL_MS, at_least=False)
        )
    return {"runtimes": runtimes}, goals


def _corral_cold(corral: CorralServer, key: str, series: Iterator[str]) -> float:
    corral.await_unloaded()
    time.sleep(_SETTLE_S)
    began_s = time.perf_counter()
    first_s = asyncio.run(_first_token(corral.endpoint(key), next(series)))
    return (first_s - began_s) * 1000


def _bare_cold(home: Home, work: Path, series: Iterator[str]) -> float:
    time.sleep(_SETTLE_S)
    began_s = time.perf_counter()
    with bare_server(model_file(home), work / "bare.log") as bare:
        first_s = asyncio.run(_first_token(bare.endpoint, next(series)))
    return (first_s - began_s) * 1000


async def _first_token(endpoint: Endpoint, prompt: str) -> float:
    connection = await Connection.open(endpoint)
    try:
        return (await connection.ask(prompt, _TOKENS)).first_s
    finally:
        connection.close()
