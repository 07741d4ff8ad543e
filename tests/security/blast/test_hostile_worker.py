"""A worker turned hostile costs only its own requests: the gateway and other tenants go on."""

from __future__ import annotations

import os
import signal
import time

import openai
import psutil
import pytest

from tests.support.bystander import Bystander
from tests.support.server import MODEL, RunningServer, wait_until

ATTACKS = [
    "garbage", "endless_line", "endless_frames", "wrong_ids", "foreign_end", "after_end",
    "huge_usage", "leave", "half_line", "silence", "close_stdout", "eat_memory", "eat_cpu",
    "flood_stderr",
]  # fmt: skip
TYPED = {"worker_failed", "worker_timeout", "worker_restarting", "no_worker_free"}


@pytest.fixture(scope="module")
def victim_key(hostile):
    return hostile.running.add_tenant("victim")


def ask(server: RunningServer, content: str, key: str | None = None, **options):
    return server.openai(key).chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}],
        **({"max_tokens": 8, "temperature": 0} | options),
    )  # fmt: skip


def gateway_process(server: RunningServer) -> psutil.Process:
    everyone = psutil.Process(server.pid).children(recursive=True)
    return next(p for p in everyone if "corral-gateway" in " ".join(p.cmdline()))


@pytest.mark.claim("BLS-01")
@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_costs_only_its_own_request(server, victim_key, attack):
    attacker = server.add_tenant(f"attacker-{attack.replace('_', '-')}")
    calm = ask(server, "Count to ten.", victim_key, max_tokens=24).choices[0].message.content
    assert ask(server, "Hello", attacker).choices
    gateway = gateway_process(server)
    memory = gateway.memory_info().rss
    with Bystander(server, victim_key) as bystander:
        with (
            pytest.raises(openai.OpenAIError) as caught,
            ask(server, f"ATTACK:{attack}", attacker, stream=True, max_tokens=32) as stream,
        ):
            for chunk in stream:
                assert chunk.choices is not None
        assert getattr(caught.value, "code", None) in TYPED, (attack, caught.value)
        time.sleep(0.5)
    assert bystander.failures == []
    assert bystander.texts == {calm}
    assert gateway.is_running()
    assert gateway.memory_info().rss - memory < 64 << 20
    assert wait_until(lambda: can_work(server, attacker))


def can_work(server: RunningServer, key: str | None = None) -> bool:
    """The attacked tenant gets a fresh worker after its back-off."""
    try:
        return bool(ask(server, "Hello", key, max_tokens=2).choices)
    except openai.APIStatusError as error:
        assert error.code in TYPED, error
        return False


@pytest.mark.claim("BLS-02")
def test_stopped_worker_is_noticed_and_replaced(server, victim_key):
    """SIGSTOP from outside: a PID 1 ignores its own."""
    assert wait_until(lambda: can_work(server))
    pid = server.worker_of("default")["pid"]
    with Bystander(server, victim_key) as bystander:
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(openai.OpenAIError) as caught:
            ask(server, "Hello", max_tokens=4)
        assert caught.value.code in TYPED
    assert bystander.failures == []
    assert wait_until(lambda: not psutil.pid_exists(pid))


@pytest.mark.claim("BLS-03")
def test_memory_over_the_limit_kills_that_worker_only(server, victim_key):
    assert wait_until(lambda: can_work(server))
    victim_pid = server.worker_of("victim")["pid"]
    attacker_pid = server.worker_of("default")["pid"]
    with pytest.raises(openai.OpenAIError):
        list(ask(server, "ATTACK:eat_memory", stream=True))
    assert wait_until(lambda: not psutil.pid_exists(attacker_pid))
    assert server.worker_of("victim")["pid"] == victim_pid
    assert ask(server, "Count to ten.", victim_key).choices
