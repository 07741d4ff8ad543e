"""Measurement 11: whether the time of a 404 tells a foreign id from one that never was.

A stranger asks each API for what is another tenant's and for what nobody has, in turns, over one
open connection; who is asked for first changes with each pair. Each API has a stranger of its own,
because a tenant has so many requests a minute beside those to models.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from corral_side import CorralServer, corral_server
from goals import Goal, median, median_interval, percentile, rounded
from parameters import MODEL, Plan

from corral.core.home import Home

GOAL_PERCENT = 5.0
_PAIRS = 55
_NO_MODEL = MODEL[:-1] + "x"
_CORRAL = Path(sys.executable).parent / "corral"
_SETTINGS = """\
# Written by bench/foreign_ids.py.
[limits]
requests_per_minute = 100000
"""


@dataclass(frozen=True, slots=True)
class Api:
    """One way to name what may be another's.

    Attributes:
        send: asks for one id.
        foreign: another tenant's.
        absent: nobody's.
    """

    send: Callable[[httpx2.Client, str], httpx2.Response]
    foreign: str
    absent: str


def measure(home: Home, plan: Plan, work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    del work
    pairs = _PAIRS if plan.recoveries > 1 else 5
    with corral_server(home, settings=_SETTINGS) as server:
        apis = _apis(home, server)
        found = {
            name: _measured(
                server, _key(home, f"bench-stranger{number}", "tenant-admin"), one, pairs
            )
            for number, (name, one) in enumerate(apis.items())
        }
    worst = max(abs(float(one["median_difference_percent"])) for one in found.values())
    goal = Goal("foreign id's 404 over none's, largest median difference", worst, "%",
                GOAL_PERCENT, at_least=False)  # fmt: skip
    return {"apis": found, "pairs": pairs}, [goal]


def _apis(home: Home, server: CorralServer) -> dict[str, Api]:
    owner = _key(home, "bench-owner", "tenant-admin")
    _corral(home, "grant", "add", "bench-owner", MODEL)
    _corral(home, "quota", "set", "--tenant", "bench-owner", "stored_completions=10")
    chat = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    with _client(server, owner) as client:
        share = client.post("/admin/v1/shares", json={"model": MODEL, "to": "bench-other"}).json()
        stored = client.post("/v1/chat/completions", json={**chat, "store": True}).json()
    key = json.loads(_corral(home, "key", "create", "bench-owner", "--name", "n", "--json"))
    shares = (str(share["id"]), str(share["id"] + 9))
    ids = (str(key["id"]), str(key["id"] + 900))
    kept = (str(stored["id"]), str(stored["id"])[:-4] + "0000")
    names = ("bench-owner", "bench-nobody")
    digest = {"sha256": "0" * 64}
    return {
        "model": Api(lambda c, i: c.get(f"/v1/models/{i}"), MODEL, _NO_MODEL),
        "chat": Api(
            lambda c, i: c.post("/v1/chat/completions", json={**chat, "model": i}), MODEL, _NO_MODEL
        ),
        "stored chat": Api(lambda c, i: c.get(f"/v1/chat/completions/{i}"), *kept),
        "stored chat, delete": Api(lambda c, i: c.delete(f"/v1/chat/completions/{i}"), *kept),
        "share, accept": Api(
            lambda c, i: c.post(f"/admin/v1/shares/{i}/accept", json=digest), *shares
        ),
        "share, end": Api(lambda c, i: c.delete(f"/admin/v1/shares/{i}"), *shares),
        "key, rotate": Api(lambda c, i: c.post(f"/admin/v1/keys/{i}/rotate", json={}), *ids),
        "key, revoke": Api(lambda c, i: c.delete(f"/admin/v1/keys/{i}"), *ids),
        "usage of a tenant": Api(lambda c, i: c.get(f"/admin/v1/usage?tenant={i}"), *names),
        "limits of a tenant": Api(lambda c, i: c.get(f"/admin/v1/quotas?tenant={i}"), *names),
    }


def _measured(server: CorralServer, key: str, api: Api, pairs: int) -> dict[str, Any]:
    times: dict[str, list[float]] = {api.foreign: [], api.absent: []}
    with _client(server, key) as client:
        for number in range(pairs):
            for one in (api.foreign, api.absent) if number % 2 else (api.absent, api.foreign):
                began_s = time.perf_counter()
                answer = api.send(client, one)
                times[one].append((time.perf_counter() - began_s) * 1000)
                if answer.status_code != 404:
                    raise RuntimeError(f"{answer.status_code}: {answer.text}")
    foreign, absent = times.values()
    differences = [one - other for one, other in zip(foreign, absent, strict=True)]
    whole = median(absent)
    return {
        "foreign_ms": rounded(foreign),
        "absent_ms": rounded(absent),
        "absent_ms_p50": round(whole, 3),
        "absent_ms_p95": round(percentile(absent, 95), 3),
        "median_difference_ms": round(median(differences), 4),
        "median_difference_ms_95": rounded(median_interval(differences), 4),
        "median_difference_percent": round(median(differences) / whole * 100, 2),
    }


@contextmanager
def _client(server: CorralServer, key: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(
        base_url=f"https://{server.host}:{server.port}", verify=server.tls, timeout=60,
        headers={"authorization": f"Bearer {key}"},
    ) as client:  # fmt: skip
        for _ in itertools.repeat(None, 3):
            client.get("/healthz")
        yield client


def _key(home: Home, tenant: str, role: str) -> str:
    if tenant not in {one["name"] for one in json.loads(_corral(home, "tenant", "list", "--json"))}:
        _corral(home, "tenant", "add", tenant)
    made = _corral(home, "key", "create", tenant, "--role", role, "--expires", "1h", "--json")
    return str(json.loads(made)["key"])


def _corral(home: Home, *arguments: str) -> str:
    return subprocess.run(
        [str(_CORRAL), *arguments, "--home", str(home.root)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=True,
    ).stdout  # fmt: skip
