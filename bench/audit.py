"""Measurement 8: what the audit log adds to a request: the wait for its record on the disk.

Real files on the disk of the work folder, the gateway's own writer, and as many requests at the
same time as `_LEVELS` says; each waits for its `begin` and queues its `end`, as the gateway does.
Beside it the machine's own `fdatasync` of as many bytes, one after the other.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from goals import Goal
from parameters import Plan

from corral.audit.appender import Rotation
from corral.audit.log import AuditLog
from corral.audit.record import Record
from corral.core.home import Home
from corral.state.database import open_database

GOAL_P95_RATIO = 1.5
_LEVELS = (1, 16, 64)
_BEGIN = Record(
    chain="gateway", seq=0, prev="", at_ms=0, kind="begin", id=f"req_{'0' * 24}", tenant="acme",
    key="crl_abcdefgh", address="192.0.2.7", action="completion:create", model="smollm2",
    sha256="0" * 64, prompt="0" * 64,
)  # fmt: skip
_END = Record(
    chain="gateway", seq=0, prev="", at_ms=0, kind="end", id=_BEGIN.id, tenant="acme",
    action=_BEGIN.action, status=200, code="ok",
)  # fmt: skip


def measure(_home: Home, plan: Plan, work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    database = work / "corral.db"
    open_database(database).dispose()
    each = 100 * plan.starts
    levels = [asyncio.run(_level(work, database, level, each)) for level in _LEVELS]
    bare = _percentiles(_bare_ms(work / "bare", each))
    ratio = levels[0]["p95_ms"] / bare["p95_ms"]
    goal = Goal("audit: p95 wait of a lone request / fdatasync", ratio, "x", GOAL_P95_RATIO, False)
    return {"fdatasync": bare, "levels": levels}, [goal]


async def _level(work: Path, database: Path, requests: int, each: int) -> dict[str, float]:
    folder = work / f"level-{requests}"
    folder.mkdir()
    log = AuditLog(folder, database, Ed25519PrivateKey.generate(), Rotation())
    waits_ms: list[float] = []

    async def one_after_another(count: int) -> None:
        for _ in range(count):
            began_s = time.perf_counter()
            assert await log.durable(log.submit(_BEGIN))
            waits_ms.append((time.perf_counter() - began_s) * 1000)
            log.note(_END)

    began_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one_after_another(max(20, each // requests)) for _ in range(requests)))
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    log.close()
    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "requests_at_once": requests,
        "requests": len(waits_ms),
        "requests_per_s": round(len(waits_ms) / took_s, 1),
        "cpu_us_per_request": round(cpu_s * 1e6 / len(waits_ms), 1),
        "bytes_per_request": round(size_bytes / len(waits_ms), 1),
        **_percentiles(waits_ms),
    }


def _bare_ms(path: Path, count: int) -> list[float]:
    found = []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(count):
        began_s = time.perf_counter()
        os.write(fd, b"0" * 600)
        os.fdatasync(fd)
        found.append((time.perf_counter() - began_s) * 1000)
    os.close(fd)
    return found


def _percentiles(samples_ms: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(samples_ms, n=100)
    return {
        name: round(cuts[at - 1], 3)
        for name, at in (("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99))
    }
