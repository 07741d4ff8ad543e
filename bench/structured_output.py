"""What a schema costs: to read it, to check an answer, and the engine's tokens while it is held to.

    bench/structured_output.py [--answers N] [--out FILE]      about a minute

Answers of the same length, in turns, with a schema and without one; the difference is the
engine's. A text of many characters is asked for, so that the model is not done early.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
from corral_side import bench_home, corral_server, tenant_key
from goals import Goal, percentile
from machine import machine_facts
from parameters import MODEL
from run import print_goals

from corral.core.home import Home
from corral.guard.json_schema import SchemaError, parse_schema
from tests.support.hostile_schemas import BOMBS, HostileSchemas, closed, lists

_TOKENS = 128
_GOAL_P99_MS = 50.0
"""Issue 6: of a refusal."""
_LETTER: Any = closed(
    title={"type": "string", "maxLength": 40}, day={"type": "string", "format": "date"},
    paragraphs=lists({"type": "string", "minLength": 400}, minItems=4),
)  # fmt: skip
_FORMS: dict[str, Any] = {
    "text": {"type": "text"},
    "json_object": {"type": "json_object"},
    "json_schema": {"type": "json_schema", "json_schema": {"name": "letter", "schema": _LETTER}},
}


def reading_ms(schemas: list[Any]) -> dict[str, float]:
    """Return how long it takes to read or refuse a schema."""
    took: list[float] = []
    for schema in schemas:
        began_s = time.perf_counter()
        with contextlib.suppress(SchemaError):
            parse_schema(schema, "schema")
        took.append((time.perf_counter() - began_s) * 1000)
    figures = {"p50_ms": percentile(took, 50), "p99_ms": percentile(took, 99), "max_ms": max(took)}
    return {name: round(figure, 3) for name, figure in figures.items()}


def checking_ms() -> float:
    """Return how long it takes to look at an answer of 4 kB, the median of many."""
    schema = parse_schema(_LETTER, "schema")
    answer = {"title": "t", "day": "2026-11-29", "paragraphs": ["word " * 100] * 8}
    text = json.dumps(answer)
    took: list[float] = []
    for _ in range(200):
        began_s = time.perf_counter()
        if schema.check_text(text) is not None:
            raise SystemExit("the answer of the measurement does not fit")
        took.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(took)


def tokens_per_s(home: Home, answers: int) -> dict[str, float]:
    """Return tokens of a second by form of the answer, medians."""
    found: dict[str, list[float]] = {name: [] for name in _FORMS}
    key = tenant_key(home, "bench-good")
    with corral_server(home) as server:
        base = f"https://{server.host}:{server.port}"
        with httpx2.Client(base_url=base, verify=server.tls, timeout=120) as http:
            for number in range(answers + 1):
                for name, form in _FORMS.items():
                    body = {
                        "model": MODEL, "max_tokens": _TOKENS, "seed": number,
                        "response_format": form,
                        "messages": [{"role": "user", "content": "Write a long letter, as JSON."}],
                    }  # fmt: skip
                    began_s = time.perf_counter()
                    answer = http.post(
                        "/v1/chat/completions", json=body,
                        headers={"authorization": f"Bearer {key}"},
                    )  # fmt: skip
                    took_s = time.perf_counter() - began_s
                    if answer.status_code == 200 and number:  # the first compiles and loads
                        tokens = answer.json()["usage"]["completion_tokens"]
                        found[name].append(tokens / took_s)
    return {name: round(statistics.median(ones), 1) for name, ones in found.items() if ones}


def main() -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--answers", type=int, default=8)
    default = Path(__file__).parent / "results" / "structured_output.json"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    hostile = reading_ms([*BOMBS.values(), *HostileSchemas(7).draw(1000)])
    found: dict[str, object] = {
        "reading": reading_ms([_LETTER] * 500),
        "reading_hostile": hostile,
        "checking_4kb_ms": round(checking_ms(), 3),
        "tokens_per_s": tokens_per_s(bench_home(), options.answers),
    }
    goals = [Goal("p99 of a hostile schema", hostile["p99_ms"], "ms", _GOAL_P99_MS, at_least=False)]
    document = {"machine": machine_facts(), "goals": [one.record() for one in goals], **found}
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    print_goals(goals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
