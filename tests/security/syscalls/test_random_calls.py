"""Random system calls from an engine's place: none gets through that the table does not allow.

CORRAL_RANDOM_CALLS_S sets the seconds for each runtime (2 by default; nightly, 600 make tens of
millions of calls), CORRAL_RANDOM_CALLS_SEED the first seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import openai
import psutil
import pytest

from corral.sandbox.policy import load_policy
from tests.security.syscalls.bpf import ACTION_MASK, ALLOW, Program
from tests.security.syscalls.host_state import changes, host_state
from tests.security.syscalls.live_filters import live_filters
from tests.security.syscalls.verdicts import named_verdicts, number_of
from tests.support.jail_job import replace_worker
from tests.support.server import MODEL, RunningServer, copy_home, start_server

PROGRAM = Path(__file__).with_name("random_worker.py")
SECONDS = float(os.environ.get("CORRAL_RANDOM_CALLS_S", "2"))
SEED = int(os.environ.get("CORRAL_RANDOM_CALLS_SEED", "1"))
ROUND_S = 20
"""A longer run is cut into requests of so many seconds, each with its own seed."""
OUTSIDE_PER_S = 2_000
"""So many calls outside the table are made for each second, however little of it the worker got."""
HARMLESS = ("getppid", "getpgid", "getsid", "umask", "times", "getitimer", "mincore", "getpriority",
            "sched_getscheduler", "inotify_init1", "timerfd_create", "memfd_create", "getgroups",
            "capget", "io_uring_setup", "userfaultfd", "socketpair", "epoll_wait")  # fmt: skip


def allowed(filters: list[Program]) -> dict[int, object]:
    """Return what the filters let through, as the generator takes it."""
    table: dict[int, object] = {}
    for number, found in named_verdicts(filters, "x86_64").items():
        if not found.reachable:
            continue
        cases = [[astuple(test) for test in tests]
                 for tests, result in found.cases if result & ACTION_MASK == ALLOW]  # fmt: skip
        table[number] = cases or None
    return table


def ask(server: RunningServer, content: str, key: str | None = None, **options: object) -> str:
    reply = server.openai(key).chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}], temperature=0,
        **({"max_tokens": 8} | options),
    )  # fmt: skip
    return reply.choices[0].message.content or ""


@pytest.fixture(scope="module", params=["crun", "runc"])
def server(request, needs_runtime, model_home, tmp_path_factory):
    needs_runtime(request.param)
    home = copy_home(model_home, tmp_path_factory.mktemp("random") / "home")
    replace_worker(home, PROGRAM)
    (home / "corral.toml").write_text("[engine]\nfirst_chunk_timeout_s = 90\n")
    running = start_server(home, "--runtime", request.param)
    yield running
    running.stop()


def gateway_pid(server: RunningServer) -> int:
    everyone = psutil.Process(server.pid).children(recursive=True)
    return next(p.pid for p in everyone if "corral-gateway" in " ".join(p.cmdline()))


@pytest.mark.claim("SYS-06")
@pytest.mark.timeout(max(400, SECONDS * 3))
def test_random_calls_reach_nothing_and_nobody(server, host_settings):
    victim_key = server.add_tenant("victim")
    calm = ask(server, "Hi", victim_key)
    ask(server, "Hi")
    attacker = server.worker_of("default")["pid"]
    victim, gateway = server.worker_of("victim")["pid"], gateway_pid(server)
    filters = live_filters(attacker)
    table = allowed(filters)
    before = host_state()
    before = {name: value for name, value in host_state().items() if before[name] == value}
    assert len(before) > 300

    total = {"calls": 0, "outside": 0, "succeeded": 0, "died": 0}
    left, seed = SECONDS, SEED
    while left > 0:
        seconds = min(left, ROUND_S)
        order = {"seed": seed, "seconds": seconds, "allowed": table,
                 "at_least": int(OUTSIDE_PER_S * seconds) + 1}  # fmt: skip
        try:
            told = json.loads(ask(server, f"RANDOM:{json.dumps(order)}", max_tokens=256))
        except openai.APIStatusError as error:
            assert error.status_code >= 500, error
            total["died"] += 1  # it ended itself: its own affair, as long as nothing else did
        else:
            assert told["through"] == []
            for name in ("calls", "outside", "succeeded"):
                total[name] += told[name]
        left, seed = left - ROUND_S, seed + 1
    print(f"seed {SEED}: {total}")

    assert total["outside"] > OUTSIDE_PER_S * SECONDS
    assert total["died"] <= max(1, SECONDS / ROUND_S / 10)
    after = host_state()
    assert changes(before, {name: after.get(name) for name in before}) == {}
    # The others live on, the same processes, and answer the same.
    assert ask(server, "Hi", victim_key) == calm
    assert server.worker_of("victim")["pid"] == victim
    assert gateway_pid(server) == gateway


@pytest.mark.claim("SYS-06")
def test_the_same_generator_gets_through_outside():
    """Control: in throw-away namespaces, on calls that only look or make something of their own."""
    numbers = [number_of("x86_64", name) for name in HARMLESS]
    filters = [_profile()]
    table = allowed(filters)
    assert not {n for n in numbers if n in table} - {232}
    order = {"seed": SEED, "seconds": 0.5, "allowed": table, "only": numbers, "at_least": 201}
    done = subprocess.run(
        ["unshare", "-U", "-r", "-m", "-p", "-f", "-i", "-u", "-n", sys.executable, str(PROGRAM),
         "--control", json.dumps(order)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["outside"] > 200
    assert len({number for number, *_ in told["through"]}) >= 5


def _profile() -> Program:
    from tests.security.syscalls.libseccomp import compile_filter

    return compile_filter(load_policy("engine").syscalls)
