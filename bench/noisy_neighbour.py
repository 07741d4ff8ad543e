"""Measurement 8: one tenant's memory bomb, fork bomb or spinning engine beside another's requests.

The good tenant asks one question after another, each on a connection of its own: as many without
the bomb, right before, as beside it. The bad tenant sets it off again whenever its request has come
to an end. Each worker computes with one thread, so that a machine of two cores has one for each.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from corral_side import tenant_key
from goals import Goal, median, percentile, rounded
from one_by_one import ask_one_by_one, connected
from parameters import Plan
from recovery import Service, with_faulty_worker
from stream_client import Endpoint, StreamError

from corral.core.home import Home

GOAL_RATIO = 1.5
BOMBS = {"memory bomb": "memory", "fork bomb": "forks", "spinning engine": "spin"}
_TOKENS = 16
_AGAIN_S = 0.2


def measure(home: Home, plan: Plan, work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    questions = 200 if plan.recoveries > 1 else 20
    copied = with_faulty_worker(home, work)
    bombs: dict[str, object] = {}
    ratios: list[float] = []
    failures = 0
    with Service(copied) as server:
        good = server.endpoint(tenant_key(copied, "bench-good"))
        asyncio.run(ask_one_by_one(good, 10, _TOKENS))
        for name, fault in BOMBS.items():
            bad = server.endpoint(tenant_key(copied, f"bench-{fault}"))
            quiet, failed_before = asyncio.run(ask_one_by_one(good, questions, _TOKENS))
            beside, failed, set_off = asyncio.run(_beside(good, bad, fault, questions))
            ratio = percentile(beside, 95) / percentile(quiet, 95)
            ratios.append(ratio)
            failures += failed + failed_before
            bombs[name] = {
                "set_off": set_off,
                "failed": failed,
                "quiet_ms": rounded(quiet, 1),
                "beside_ms": rounded(beside, 1),
                "quiet_p95_ms": round(percentile(quiet, 95), 1),
                "beside_p95_ms": round(percentile(beside, 95), 1),
                "quiet_median_ms": round(median(quiet), 1),
                "beside_median_ms": round(median(beside), 1),
                "p95_ratio": round(ratio, 3),
            }
    return {"bombs": bombs, "questions": questions}, [
        Goal("good tenant's p95 beside a bomb", max(ratios), "x", GOAL_RATIO, at_least=False),
        Goal("good tenant's failures beside a bomb", float(failures), "", 0, at_least=False),
    ]


async def _beside(
    good: Endpoint, bad: Endpoint, fault: str, many: int
) -> tuple[list[float], int, int]:
    """Return the good tenant's times and failures, and how often the bomb was set off."""
    set_off = 0

    async def attack() -> None:
        nonlocal set_off
        while True:
            set_off += 1
            with contextlib.suppress(StreamError, OSError, TimeoutError):
                async with connected(bad) as connection:
                    await connection.ask(f"FAULT:{fault}", 1)
            await asyncio.sleep(_AGAIN_S)

    attacker = asyncio.create_task(attack())
    await asyncio.sleep(2 * _AGAIN_S)
    try:
        taken, failed = await ask_one_by_one(good, many, _TOKENS)
    finally:
        attacker.cancel()
        await asyncio.wait({attacker})
    return taken, failed, set_off
