"""Measurement 7: a tenant that floods, one that asks now and then, and tenants that all want more.

    solo     the light tenant alone: what its time to first token is worth
    fair     beside a tenant that always has more requests waiting than may run
    fcfs     the same two clients as one tenant: one queue, first come first served, which is what
             a server without tenants has. corral has no such option
    equals   tenants that all have requests waiting all the time; Jain's index of their tokens, and
             their service over time against the bound of Sheng et al. (OSDI 2024), theorem 4.4

Service of equals is what `GET /admin/v1/queue` says while all of them wait; beside it, what the
answers that ended in that time cost by the engine's count.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import uvloop
from corral_side import CorralServer, corral_server, tenant_key
from goals import Goal, median, percentile, rounded
from parameters import CONTEXT_TOKENS, Plan
from prompts import prompts
from stream_client import Answer, Connection, Endpoint, StreamError

from corral.core.home import Home
from corral.tenancy.fair_queue import ANSWER_COST, PROMPT_COST

RATIO_MAX = 1.5
JAIN_MIN = 0.99
_FLOOD = 14
"""Requests that a flooding tenant has in the house: more than any worker has slots."""
_EQUALS = 3
_LIGHT_TOKENS = 8
_FLOOD_TOKENS = 48
_PAUSE_S = 0.3
_LOOK_S = 0.2
_CORRAL = Path(sys.executable).parent / "corral"


@dataclass(slots=True)
class Client:
    """One tenant's answers."""

    endpoint: Endpoint
    answers: list[Answer] = field(default_factory=list)

    async def ask(self, prompt: str, max_tokens: int) -> None:
        """Ask once, on a connection of its own."""
        connection = await Connection.open(self.endpoint)
        try:
            self.answers.append(await connection.ask(prompt, max_tokens))
        finally:
            connection.close()

    async def flood(self, series: Iterator[str], max_tokens: int) -> None:
        """Ask again and again until cancelled."""
        while True:
            try:
                await self.ask(next(series), max_tokens)
            except StreamError:
                await asyncio.sleep(0.1)

    def service(self) -> int:
        """Return what the answers cost."""
        return sum(
            PROMPT_COST * one.prompt_tokens + ANSWER_COST * one.completion_tokens
            for one in self.answers
        )


def measure(home: Home, plan: Plan, work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    del work
    series = prompts()
    with corral_server(home) as corral:
        keys = {
            name: tenant_key(home, f"fair-{name}")
            for name in ("light", "flooder", *(f"equal{n}" for n in range(_EQUALS)))
        }
        admin = _admin_key(home)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(_phases(corral, keys, admin, plan, series))
    return found, _goals(found)


async def _phases(
    corral: CorralServer, keys: dict[str, str], admin: str, plan: Plan, series: Iterator[str]
) -> dict[str, object]:
    def client(name: str) -> Client:
        return Client(corral.endpoint(keys[name]))

    for name in keys:
        await client(name).ask(next(series), 4)  # its worker is warm
    asked = plan.fair_requests
    found: dict[str, object] = {"solo": _record(await _light(client("light"), series, asked))}
    # In the queue of the flooder each answer takes as long as a whole flood: a few are enough.
    for name, who, times in (("fair", "light", asked), ("fcfs", "flooder", -(-asked // 3))):
        async with _flooding([client("flooder")], series):
            await asyncio.sleep(2)
            found[name] = _record(await _light(client(who), series, times))
    equals = {f"fair-equal{n}": client(f"equal{n}") for n in range(_EQUALS)}
    gaps = Gaps(corral, admin, list(equals))
    async with _flooding(list(equals.values()), series):
        await gaps.watch(plan.fair_s)
        answered = {name: one.service() for name, one in equals.items()}
    found["equals"] = {
        "service": gaps.service,
        "service_of_whole_answers": answered,
        "jain": round(jain(list(gaps.service.values())), 5),
        "seconds": plan.fair_s,
        "gaps": gaps.found,
        "gap_max": max((gap for _, gap in gaps.found), default=0),
        "bound": gaps.bound,
    }
    return found


async def _light(client: Client, series: Iterator[str], asked: int) -> Client:
    for _ in range(asked):
        await client.ask(next(series), _LIGHT_TOKENS)
        await asyncio.sleep(_PAUSE_S)
    return client


@asynccontextmanager
async def _flooding(clients: list[Client], series: Iterator[str]) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(one.flood(series, _FLOOD_TOKENS))
        for one, _ in itertools.product(clients, range(_FLOOD))
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(1)


class Gaps:
    """The largest difference of service between tenants that wait, over time."""

    def __init__(self, corral: CorralServer, admin: str, names: list[str]) -> None:
        self._client = httpx2.AsyncClient(
            base_url=f"https://{corral.host}:{corral.port}", verify=corral.tls,
            headers={"authorization": f"Bearer {admin}"},
        )  # fmt: skip
        self._names = names
        self.found: list[tuple[float, float]] = []
        self.service: dict[str, float] = {}
        self.bound = 0

    async def watch(self, seconds: float) -> None:
        """Look until the time is over; counted from the moment at which all wait."""
        first: dict[str, float] = {}
        began_s = time.monotonic()
        async with self._client as client:
            while time.monotonic() - began_s < seconds:
                document = (await client.get("/admin/v1/queue")).json()
                # M of the theorem: all tokens of the requests that may run at once.
                running = int(document["capacity"]) * _FLOOD_TOKENS
                self.bound = 2 * max(PROMPT_COST * CONTEXT_TOKENS, ANSWER_COST * running)
                service = {
                    one["tenant"]: float(one["service"])
                    for one in document["tenants"]
                    if one["tenant"] in self._names and one["waiting"]
                }
                if len(service) == len(self._names):
                    first = first or service
                    self.service = {name: service[name] - first[name] for name in self._names}
                    got = self.service.values()
                    at_s = round(time.monotonic() - began_s, 2)
                    self.found.append((at_s, round(max(got) - min(got), 1)))
                await asyncio.sleep(_LOOK_S)


def jain(shares: list[float]) -> float:
    """Return Jain's fairness index: 1 for equal shares (Jain, Chiu, Hawe 1984)."""
    squares = sum(one * one for one in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def _record(client: Client) -> dict[str, object]:
    first_ms = [one.first_token_ms for one in client.answers]
    return {
        "first_token_ms": rounded(first_ms),
        "first_token_ms_p50": round(median(first_ms), 3),
        "first_token_ms_p95": round(percentile(first_ms, 95), 3),
    }


def _admin_key(home: Home) -> str:
    made = subprocess.run(
        [str(_CORRAL), "key", "create", "default", "--role", "operator", "--name", "bench",
         "--expires", "1h", "--json", "--home", str(home.root)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return str(json.loads(made.stdout)["key"])


def _goals(found: dict[str, object]) -> list[Goal]:
    def top(name: str) -> float:
        part = found[name]
        assert isinstance(part, dict)
        return float(part["first_token_ms_p95"])

    equals = found["equals"]
    assert isinstance(equals, dict)
    return [
        Goal(
            "light tenant's first token, p95, over solo", top("fair") / top("solo"), "x",
            RATIO_MAX, at_least=False,
        ),
        Goal("Jain index among equals", equals["jain"], "", JAIN_MIN, at_least=True),
        Goal(
            "largest service gap over the bound", equals["gap_max"] / max(1, equals["bound"]), "x",
            1.0, at_least=False,
        ),
    ]  # fmt: skip
