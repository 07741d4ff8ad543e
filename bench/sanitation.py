"""Measurement 12: what the sanitation costs: a text of 4 kB, 500 tokens, the first token, tokens/s.

Chain and classifier are the product's own, in this process, timed by its thread's processor time:
the product has the one in the gateway and the other in its jail, each on one thread. At the server,
which has the detector as any new one has, two tenants ask the same model by turns, one by
`balanced`, one by a policy that is `off`, with prompts of some 1,000 characters; so the difference
is the sanitation's and nothing else's.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from corral_side import corral_server, installed_detector, tenant_key
from goals import Goal, median, median_interval, percentile, rounded
from parameters import Plan
from prompts import prompts
from stream_client import Answer, Connection, Endpoint

from corral.core.home import Home
from corral.gateway.sanitation_table import remove_document, set_document
from corral.guard.classifier import Classifier
from corral.guard.finding import Part
from corral.guard.input_chain import input_chain
from corral.guard.options import Base
from corral.guard.policy import built_in
from corral.guard.special_tokens import control_tokens
from corral.guard.views import views

RULES_MS = 1.0
WHOLE_MS = 30.0
_CHARACTERS = 4000
_500_TOKENS = 2000
"""Characters of English prose; SmolLM2's vocabulary has about four to a token."""
_LOOKS = 200
_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>")
_ROOT = Path(__file__).parents[1]
_POLICIES = """
[policies.bench-off]
base = "off"
weakening = "the other side of a measurement"
[[rules]]
tenant = "bench-off"
policy = "bench-off"
"""


def measure(home: Home, plan: Plan, _work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    costs = {base: _costs(base) for base in ("balanced", "strict")}
    rules = {name: one["rules_p50_ms"] for name, one in costs["balanced"].items()}
    whole = _cost("balanced", _texts()["prose"][:_500_TOKENS])
    rounds = 30 if plan.recoveries > 1 else 4
    set_document(home.database, _POLICIES)
    try:
        with installed_detector(home):
            detector = _detector_cost(home, _texts()["prose"][:_500_TOKENS])
            served = _at_the_server(home, rounds, tokens=min(32, plan.max_tokens))
    finally:
        remove_document(home.database)
    found = {"costs": costs, "tokens_500": whole, "detector_500": detector, "served": served}
    return found, [
        Goal("rules over 4 kB of prose, p50", rules["prose"], "ms", RULES_MS, at_least=False),
        Goal("rules over 4 kB, worst of 4 texts, p50", max(rules.values()), "ms", RULES_MS,
             at_least=False),
        Goal("chain without detector over 500 tokens, p50", whole["p50_ms"], "ms", WHOLE_MS,
             at_least=False),
        Goal("whole policy over 500 tokens, p50", whole["p50_ms"] + detector["p50_ms"], "ms",
             WHOLE_MS, at_least=False),
    ]  # fmt: skip


def _costs(base: Base) -> dict[str, dict[str, float]]:
    return {name: _cost(base, text) for name, text in _texts().items()}


def _texts() -> dict[str, str]:
    """Return four texts of 4,000 characters: prose, code, an e-mail, many scripts."""
    pages = (_ROOT / "docs" / name for name in ("operations.md", "tenants.md", "limits.md"))
    prose = "".join(c for page in pages for c in page.read_text(encoding="utf-8") if c.isascii())
    code = (_ROOT / "src" / "corral" / "gateway" / "stages.py").read_text(encoding="utf-8")
    mail = (
        "From: Ana Núñez <ana@example.org>\nTo: team@example.com\nSubject: Tuesday's numbers\n\n"
        "Hello all — please find the figures of 12/03 below; call +44 20 7946 0958 if they're off."
        "\n> On Monday, Bo wrote: “the total of €1,234.50 seems low”…\n"
    )
    scripts = "Grüße aus München, 東京へようこそ — naïve café ✓ Привет, как дела? مرحبا بالعالم\n"
    found = {"prose": prose, "code": code, "mail": mail * 20, "scripts": scripts * 80}
    return {name: text[:_CHARACTERS] for name, text in found.items()}


def _cost(base: Base, text: str) -> dict[str, float]:
    chain = input_chain(built_in(base), control_tokens(_TOKENS))
    spent_ms: list[float] = []
    stages: dict[str, list[float]] = {}
    for number in range(_LOOKS):
        part = Part("prompt", f"{number}{text}", "user")  # no two are the same text
        began_s = time.thread_time()
        cleaned = chain.run((part,))
        spent_ms.append((time.thread_time() - began_s) * 1000)
        for name, spent_s in cleaned.spent_s.items():
            stages.setdefault(name, []).append(spent_s * 1000)
    return {
        "p50_ms": round(median(spent_ms), 4),
        "p99_ms": round(percentile(spent_ms, 99), 4),
        **{f"{name}_p50_ms": round(median(ms), 4) for name, ms in stages.items()},
    }


def _detector_cost(home: Home, text: str) -> dict[str, float]:
    classifier = Classifier(home.detector)
    spent_ms: list[float] = []
    for number in range(_LOOKS // 10):
        began_s = time.thread_time()
        classifier.score(view.text for view in views(f"{number}{text}"))
        spent_ms.append((time.thread_time() - began_s) * 1000)
    return {"p50_ms": round(median(spent_ms), 1), "p99_ms": round(percentile(spent_ms, 99), 1)}


def _at_the_server(home: Home, rounds: int, *, tokens: int) -> dict[str, object]:
    keys = {name: tenant_key(home, f"bench-{name}") for name in ("off", "balanced")}
    prose = _texts()["prose"][: _500_TOKENS // 2]
    series = (f"{one} {prose}" for one in prompts())
    with corral_server(home) as server:
        sides = {name: server.endpoint(key) for name, key in keys.items()}
        answers = asyncio.run(_turns(sides, series, rounds, tokens))
    first_ms = {name: [one.first_token_ms for one in side] for name, side in answers.items()}
    rates = {
        name: [one.completion_tokens / (one.last_s - one.sent_s) for one in side]
        for name, side in answers.items()
    }
    pairs = [a / b for a, b in zip(rates["balanced"], rates["off"], strict=True)]
    added = [a - b for a, b in zip(first_ms["balanced"], first_ms["off"], strict=True)]
    return {
        "first_token_ms": {name: rounded(ms, 1) for name, ms in first_ms.items()},
        "added_first_token_ms_p50": round(median(added), 2),
        "tokens_per_s_ratio": round(median(pairs), 4),
        "tokens_per_s_ratio_95": [round(one, 4) for one in median_interval(pairs)],
    }


async def _turns(
    sides: dict[str, Endpoint], series: Iterator[str], rounds: int, tokens: int
) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds + 1):
        prompt = next(series)
        for name in itertools.chain(names[number % 2 :], names[: number % 2]):
            connection = await Connection.open(sides[name])
            answer = await connection.ask(prompt, tokens)
            connection.close()
            if number:  # the first one started the worker
                found[name].append(answer)
    return found
