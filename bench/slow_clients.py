"""Measurement 7: a good tenant's whole answers while `slowhttptest` holds 1,000 connections open.

The attacker is the tool of others, in each of its modes: from a host of its own, and from the good
client's own address, as behind one NAT, where nobody can be told from anybody by the address. In
earnest clients are other machines. So the server has one core to itself, with one engine thread,
and both clients have another; there the attacker has the least weight that there is.
The good tenant asks one short question after another, each on a connection of its own, TLS
handshake included; asked are as many without the attack right before each mode.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from attacker_host import SERVER_ADDRESS, AttackerHost, attacker_host, least_weight
from corral_side import CorralServer, corral_server, tenant_key
from goals import Goal, median, percentile, rounded
from one_by_one import ask_one_by_one
from parameters import Plan

from corral.core.home import Home

GOAL_RATIO = 1.2
_TOKENS = 8
_RATE = 100
"""New connections of the attacker in a second."""
_GATHER_S = 4.0
"""The attack is under way by then, and goes on gathering."""
_SETTINGS = """\
# Written by bench/slow_clients.py: the server has one core.
[engine]
context_tokens = 512
parallel = 8
threads = 1

[limits]
requests_per_minute = 100000
"""
_TENANT = "bench-good"
_FORGED = "bench-slow"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: questions of the good tenant in a mode, connections of the attacker."""

    questions: int
    connections: int


def measure(home: Home, plan: Plan, _work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    if shutil.which("slowhttptest") is None:
        # Else its loop would do nothing but start shells, and that would be what is measured.
        raise RuntimeError("slowhttptest is missing: apt-get install slowhttptest")
    size = Size(200, 1000) if plan.recoveries > 1 else Size(40, 200)
    with attacker_host() as elsewhere:
        places = {
            "another address": _place(home, elsewhere, size),
            # Published; what an address can be asked for is bounded in `gateway.newcomers`.
            "the same address": _place(home, AttackerHost(), replace(size, questions=40)),
        }
    goals = []
    for name, modes in places.items():
        worst = max(float(one["p99_ratio"]) for one in modes.values())  # type: ignore[arg-type]
        failed = sum(int(one["failed"]) for one in modes.values())  # type: ignore[call-overload]
        goals += [
            Goal(f"good tenant's p99, slow clients at {name}", worst, "x", GOAL_RATIO,
                 at_least=False),
            Goal(f"good tenant's failures, slow clients at {name}", float(failed), "", 0,
                 at_least=False),
        ]  # fmt: skip
    return {"places": places, "connections": size.connections, "questions": size.questions}, goals


def _place(home: Home, attacker: AttackerHost, size: Size) -> dict[str, dict[str, object]]:
    """Measure all modes from one place of the attacker."""
    endpoint_key, slow_key = tenant_key(home, _TENANT), tenant_key(home, _FORGED)
    modes: dict[str, dict[str, object]] = {}
    with (
        _other_core() as core,
        corral_server(home, settings=_SETTINGS, address=SERVER_ADDRESS, core=core) as server,
    ):
        good = server.endpoint(endpoint_key)
        asyncio.run(ask_one_by_one(good, 10, _TOKENS))
        for name, options in _attacks(slow_key).items():
            quiet, _ = asyncio.run(ask_one_by_one(good, size.questions, _TOKENS))
            with _attack(server, attacker, options, size.connections):
                time.sleep(_GATHER_S)
                held: list[int] = []
                during, failed = asyncio.run(
                    ask_one_by_one(
                        good, size.questions, _TOKENS, between=partial(_note_held, server, held)
                    )
                )
            modes[name] = {
                "connections_held": int(median(held)),
                "connections_held_most": max(held),
                "failed": failed,
                "quiet_ms": rounded(quiet, 1),
                "attacked_ms": rounded(during, 1),
                "quiet_p99_ms": round(percentile(quiet, 99), 1),
                "attacked_p99_ms": round(percentile(during, 99), 1),
                "quiet_median_ms": round(median(quiet), 1),
                "attacked_median_ms": round(median(during), 1),
                "p99_ratio": round(percentile(during, 99) / percentile(quiet, 99), 3),
            }
    return modes


@contextmanager
def _other_core() -> Iterator[int]:
    """Keep this process, and the attacks that it starts, off one core; yield which."""
    usable = os.sched_getaffinity(0)
    core = min(usable)
    if len(usable) < 2:
        raise RuntimeError("a core for the server and one for its clients are needed")
    os.sched_setaffinity(0, usable - {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, usable)


def _attacks(key: str) -> dict[str, Sequence[str]]:
    """Return the options of each mode; one body mode has a live key, brought in as a "cookie"."""
    body = ("-B", "-i", "5", "-s", "8192", "-x", "10", "-t", "POST")
    return {
        "slow headers": ("-H", "-i", "5", "-x", "24", "-t", "GET"),
        "slow body": body,
        "slow body of a tenant": (*body, "-j", f"a=1\r\nAuthorization: Bearer {key}"),
        "slow read": ("-X", "-n", "5", "-w", "8", "-y", "16", "-z", "4", "-k", "3"),
        "range": ("-R", "-a", "1", "-b", "3000", "-t", "HEAD"),
    }


@contextmanager
def _attack(
    server: CorralServer, attacker: AttackerHost, options: Sequence[str], connections: int
) -> Iterator[None]:
    """Attack, and again each time that every connection of the attack was cut off."""
    path = "/v1/chat/completions" if "-B" in options else "/healthz"
    once = [
        "slowhttptest", *options, "-c", str(connections), "-r", str(_RATE), "-l", "120", "-p", "3",
        "-u", f"https://{server.host}:{server.port}{path}",
    ]  # fmt: skip
    # It ends with us. A pause: a tool that starts again and again would be work of another kind.
    loop = f"while kill -0 {os.getpid()}; do {shlex.join(once)}; sleep 1; done"
    process = subprocess.Popen(
        attacker.command(["sh", "-c", loop]),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        least_weight(process.pid)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _note_held(server: CorralServer, held: list[int]) -> None:
    held.append(_held(server))


def _held(server: CorralServer) -> int:
    """Return how many established connections the gateway's port has, by the kernel's table."""
    port = f":{server.port:04X}"
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(1 for row in rows if row.split()[1].endswith(port) and row.split()[3] == "01")
