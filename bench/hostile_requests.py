"""Ten thousand hostile requests at a real server, and how long it takes to refuse one.

    bench/hostile_requests.py [--many N] [--seed N] [--out FILE]      some two minutes

One tenant sends them one after another over one connection, another one computes all the time. It
prints the time of refusals, how many engines of the other tenant ended, and what each family got.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections import Counter
from pathlib import Path

import httpx2
from corral_side import CorralServer, bench_home, corral_server, tenant_key
from goals import Goal, percentile
from machine import machine_facts
from parameters import MODEL
from run import print_goals

from corral.core.home import Home
from tests.support.hostile_requests import hostile_requests

GOAL_P99_MS = 50.0
_OTHER, _HOSTILE = "bench-good", "bench-hostile"


def measure(home: Home, many: int, seed: int) -> tuple[dict[str, object], list[Goal]]:
    """Return the figures and the goals that they are held against."""
    good, bad = tenant_key(home, _OTHER), tenant_key(home, _HOSTILE)
    refused_ms: list[float] = []
    answers: Counter[str] = Counter()
    failed = 0
    with corral_server(home) as server:
        base = f"https://{server.host}:{server.port}"
        with (
            httpx2.Client(base_url=base, verify=server.tls, timeout=120) as http,
            httpx2.Client(base_url=base, verify=server.tls, timeout=120) as other,
        ):
            failed += _ask(other, good) != 200
            engines = _engines(server)
            for number, request in enumerate(
                itertools.islice(hostile_requests(seed, MODEL), many), start=1
            ):
                began_s = time.perf_counter()
                answer = http.post(
                    request.path, content=request.body,
                    headers={"content-type": "application/json", "authorization": f"Bearer {bad}"},
                )  # fmt: skip
                took_ms = (time.perf_counter() - began_s) * 1000
                answers[f"{request.family}: {answer.status_code}"] += 1
                if answer.status_code != 200:
                    refused_ms.append(took_ms)
                if number % 20 == 0:
                    failed += _ask(other, good) != 200
            ended = len(engines - _engines(server))
    p99 = percentile(refused_ms, 99)
    fives = sum(count for name, count in answers.items() if name.split(": ")[1] >= "5")
    found: dict[str, object] = {
        "requests": many, "seed": seed, "refused": len(refused_ms),
        "refusal_p50_ms": round(percentile(refused_ms, 50), 2), "refusal_p99_ms": round(p99, 2),
        "refusal_max_ms": round(max(refused_ms), 2), "answers": dict(sorted(answers.items())),
        "others_engines_ended": ended, "others_failures": failed, "answers_5xx": fives,
    }  # fmt: skip
    return found, [
        Goal("p99 of a refusal", p99, "ms", GOAL_P99_MS, at_least=False),
        Goal("engines of another tenant that ended", float(ended), "", 0, at_least=False),
        Goal("failures of another tenant", float(failed), "", 0, at_least=False),
        Goal("answers 5xx", float(fives), "", 0, at_least=False),
    ]


def _ask(http: httpx2.Client, key: str) -> int:
    body = {"model": MODEL, "prompt": "x", "max_tokens": 1}
    return http.post(
        "/v1/completions", json=body, headers={"authorization": f"Bearer {key}"}
    ).status_code


def _engines(server: CorralServer) -> set[int]:
    return {one.pid for one in server.workers() if one.tenant == _OTHER}


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    default = Path(__file__).parent / "results" / "hostile_requests.json"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    found, goals = measure(bench_home(), options.many, options.seed)
    document = {"machine": machine_facts(), "goals": [one.record() for one in goals], **found}
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print_goals(goals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
