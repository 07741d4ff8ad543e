"""Measurement 1: tokens per second and time to first token, corral against the bare engine.

Both servers run during the whole measurement; a side works only in its own rounds. Each round
opens fresh connections, because the bare server closes each after its answer (not timed; connecting
is given apart), then all streams send one request at once. The two sides get the same prompts, and
who goes first changes with each round.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvloop
from bare_side import BareServer, bare_server
from corral_side import CorralServer, corral_server, model_file, tenant_key
from goals import Goal, median, median_interval, percentile, rounded
from parameters import Plan
from processes import cpu_seconds
from prompts import prompts
from stream_client import Answer, Connection, Endpoint

from corral.core.home import Home

_SETTLE_S = 0.15
SIDES = ("corral", "bare")


@dataclass(frozen=True, slots=True)
class Round:
    """What one side did in one round.

    Attributes:
        connect_ms: for each stream, time to connect (with TLS handshake at corral's side).
        cpu_s: processor time by process in this round.
    """

    answers: tuple[Answer, ...]
    connect_ms: tuple[float, ...]
    cpu_s: dict[str, float]

    @property
    def tokens(self) -> int:
        """Completion tokens of all answers, as the engine counts them."""
        return sum(one.completion_tokens for one in self.answers)

    @property
    def tokens_per_s(self) -> float:
        """All tokens over the time from the first request to the last byte."""
        began_s = min(one.sent_s for one in self.answers)
        return self.tokens / (max(one.last_s for one in self.answers) - began_s)


@dataclass(slots=True)
class Level:
    """All rounds at one number of streams."""

    streams: int
    rounds: dict[str, list[Round]] = field(default_factory=lambda: {side: [] for side in SIDES})


def measure(home: Home, plan: Plan, work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    series = prompts()
    with bare_server(model_file(home), work / "bare.log") as bare:
        levels = _levels(home, plan, bare, series, runtime="auto")
        found: dict[str, object] = {"levels": [_record(level) for level in levels]}
        if "runsc" in plan.runtimes:
            # Published, whatever it is; no goal: gVisor is the tier of those who want it.
            few = replace(plan, rounds={1: min(4, plan.rounds[1])})
            (gvisor,) = _levels(home, few, bare, series, runtime="runsc")
            found["gvisor"] = _record(gvisor)
    return found, _goals(levels)


def _levels(
    home: Home, plan: Plan, bare: BareServer, series: Iterator[str], *, runtime: str
) -> list[Level]:
    with corral_server(home, runtime) as corral:
        endpoints = {"corral": corral.endpoint(tenant_key(home, "default")), "bare": bare.endpoint}
        processes = {"corral": corral.processes(), "bare": {"bare": bare.pid}}
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_warm_up(endpoints, next(series)))
            processes["corral"] |= {"worker": _worker_pid(corral)}
            return [
                runner.run(_level(streams, plan, endpoints, processes, series))
                for streams in plan.rounds
            ]


def _worker_pid(corral: CorralServer) -> int:
    (worker,) = corral.workers()
    return worker.pid


async def _warm_up(endpoints: dict[str, Endpoint], prompt: str) -> None:
    for endpoint in endpoints.values():
        connection = await Connection.open(endpoint)
        await connection.ask(prompt, 8)
        connection.close()


async def _level(
    streams: int,
    plan: Plan,
    endpoints: dict[str, Endpoint],
    processes: dict[str, dict[str, int]],
    series: Iterator[str],
) -> Level:
    level = Level(streams)
    for number in range(plan.rounds[streams]):
        batch = list(itertools.islice(series, streams))
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            await asyncio.sleep(_SETTLE_S)
            done = await _round(endpoints[side], batch, plan.max_tokens, processes[side])
            level.rounds[side].append(done)
    return level


async def _round(
    endpoint: Endpoint, batch: Sequence[str], max_tokens: int, pids: dict[str, int]
) -> Round:
    connections: list[Connection] = []
    connect_ms: list[float] = []
    for _ in batch:
        began_s = time.perf_counter()
        connections.append(await Connection.open(endpoint))
        connect_ms.append((time.perf_counter() - began_s) * 1000)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()} | {
        "client": time.process_time()
    }
    answers = await asyncio.gather(
        *(
            connection.ask(question, max_tokens)
            for connection, question in zip(connections, batch, strict=True)
        )
    )
    after = {"client": time.process_time()} | {name: cpu_seconds(pid) for name, pid in pids.items()}
    for connection in connections:
        connection.close()
    return Round(
        answers=tuple(answers),
        connect_ms=tuple(connect_ms),
        cpu_s={name: after[name] - before[name] for name in before},
    )


def _record(level: Level) -> dict[str, object]:
    return {
        "streams": level.streams,
        **{side: _side_record(rounds) for side, rounds in level.rounds.items()},
        "tokens_per_s_ratio": round(median(_ratios(level)), 4),
        "tokens_per_s_ratio_95": rounded(median_interval(_ratios(level)), 4),
        "added_first_token_ms": rounded(_added_ms(level)),
        "added_first_token_ms_p50": round(median(_added_ms(level)), 3),
        "same_text": sum(
            one.text == other.text for one, other in zip(*_answers(level), strict=True)
        ),
    }


def _side_record(rounds: list[Round]) -> dict[str, object]:
    first_ms = [one.first_token_ms for done in rounds for one in done.answers]
    tokens = sum(done.tokens for done in rounds)
    return {
        "tokens_per_s": rounded([done.tokens_per_s for done in rounds]),
        "tokens_per_s_median": round(median([done.tokens_per_s for done in rounds]), 3),
        "first_token_ms": rounded(first_ms),
        "first_token_ms_p50": round(median(first_ms), 3),
        "first_token_ms_p95": round(percentile(first_ms, 95), 3),
        "connect_ms_p50": round(median([ms for done in rounds for ms in done.connect_ms]), 3),
        "completion_tokens": [one.completion_tokens for done in rounds for one in done.answers],
        "cached_tokens": [one.cached_tokens for done in rounds for one in done.answers],
        "cpu_us_per_token": {
            name: round(sum(done.cpu_s[name] for done in rounds) / tokens * 1e6, 1)
            for name in rounds[0].cpu_s
        },
    }


def _answers(level: Level) -> tuple[list[Answer], ...]:
    return tuple([a for done in level.rounds[side] for a in done.answers] for side in SIDES)


def _added_ms(level: Level) -> list[float]:
    """Return corral's time to first token minus bare's, prompt by prompt."""
    corral, bare = _answers(level)
    return [c.first_token_ms - b.first_token_ms for c, b in zip(corral, bare, strict=True)]


def _ratios(level: Level) -> list[float]:
    """Return corral's tokens per second over bare's, for each pair of rounds."""
    pairs = zip(level.rounds["corral"], level.rounds["bare"], strict=True)
    return [corral.tokens_per_s / bare.tokens_per_s for corral, bare in pairs]


def _goals(levels: list[Level]) -> list[Goal]:
    goals = [
        Goal(
            f"tokens/s over bare, {one.streams} streams",
            median(_ratios(one)), "x", 1.0, at_least=True, interval=median_interval(_ratios(one)),
        )
        for one in levels
    ]  # fmt: skip
    added = median(_added_ms(levels[0]))
    goals.append(Goal("added time to first token, p50", added, "ms", 5.0, at_least=False))
    return goals
