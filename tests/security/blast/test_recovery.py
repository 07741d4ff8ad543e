"""From a fault to the next good answer of the same tenant, zone by zone; and the end of a loop.

The times are printed (`pytest -s`); what is asserted is loose, because the machine may be busy.
`make bench` measures the times (`recovery`), docs/benchmarks.md has those of a quiet one.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import openai
import psutil
import pytest

from tests.security.blast.conftest import CRASHES_MAX, HostileServer
from tests.support.bystander import Bystander
from tests.support.server import MODEL, RunningServer, corral, corral_json, wait_until

LOOSE_S = 60


def say(client: openai.OpenAI, content: str, tokens: int = 2) -> str:
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}],
        max_tokens=tokens, temperature=0,
    )  # fmt: skip
    return answer.choices[0].message.content or ""


def works(client: openai.OpenAI) -> bool:
    try:
        return bool(say(client, "Hello"))
    except openai.OpenAIError:
        return False


def zone_process(server: RunningServer, zone: str) -> psutil.Process:
    everyone = psutil.Process(server.pid).children(recursive=True)
    return next(p for p in everyone if f"corral-{zone}" in " ".join(p.cmdline()))


def refused(client: openai.OpenAI, content: str) -> str:
    with pytest.raises(openai.APIError) as caught:
        say(client, content)
    return str(getattr(caught.value, "code", None))


def kill(server: RunningServer, client: openai.OpenAI, tenant: str) -> None:
    os.kill(server.worker_of(tenant)["pid"], signal.SIGKILL)


def stop(server: RunningServer, client: openai.OpenAI, tenant: str) -> None:
    os.kill(server.worker_of(tenant)["pid"], signal.SIGSTOP)


def garbage(server: RunningServer, client: openai.OpenAI, tenant: str) -> None:
    assert refused(client, "ATTACK:garbage") == "worker_failed"


def out_of_memory(server: RunningServer, client: openai.OpenAI, tenant: str) -> None:
    assert refused(client, "ATTACK:eat_memory") == "worker_failed"


Fault = Callable[[RunningServer, openai.OpenAI, str], None]


@pytest.mark.claim("BLAST-04")
@pytest.mark.parametrize("fault", [kill, stop, garbage, out_of_memory])
def test_a_workers_tenant_is_served_again_soon(
    server: RunningServer, bystander_key: str, fault: Fault
) -> None:
    tenant = fault.__name__.replace("_", "-")
    client = server.openai(server.add_tenant(tenant))
    assert works(client)
    before = server.worker_of(tenant)["pid"]
    with Bystander(server, bystander_key) as bystander:
        fault(server, client, tenant)
        began = time.monotonic()
        assert wait_until(lambda: works(client), seconds=LOOSE_S, step=0.02)
        took_s = time.monotonic() - began
    print(f"\nrecovery worker {tenant}: {took_s:.2f} s, beside another tenant's streams")
    assert server.worker_of(tenant)["pid"] != before
    assert wait_until(lambda: not psutil.pid_exists(before))  # its parent may reap it after that
    assert bystander.failures == []
    assert len(bystander.texts) == 1


@pytest.mark.claim("BLAST-04")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda n: n.name)
def test_a_gateways_tenants_are_served_again_soon(
    server: RunningServer, number: signal.Signals
) -> None:
    with server.openai() as client:
        assert works(client)
        before = zone_process(server, "gateway").pid
        os.kill(before, number)
    began = time.monotonic()
    with server.openai().with_options(timeout=10) as client:
        assert wait_until(lambda: works(client), seconds=LOOSE_S, step=0.02)
    took_s = time.monotonic() - began
    print(f"\nrecovery gateway {number.name}: {took_s:.2f} s, its workers included")
    assert zone_process(server, "gateway").pid != before


@pytest.mark.claim("BLAST-03")
def test_a_crash_loop_is_quarantined_for_that_tenant_alone(
    server: RunningServer, bystander_key: str
) -> None:
    client = server.openai(server.add_tenant("looper"))
    with Bystander(server, bystander_key) as bystander:
        for _ in range(CRASHES_MAX):
            assert wait_until(lambda: works(client), seconds=LOOSE_S)
            assert refused(client, "ATTACK:leave") == "worker_failed"
        with pytest.raises(openai.APIStatusError) as caught:
            say(client, "Hello")
    assert (caught.value.status_code, caught.value.code) == (503, "model_quarantined")
    assert caught.value.type == "server_error"
    assert 3000 < int(caught.value.response.headers["retry-after"]) <= 3600
    assert bystander.failures == []
    (held,) = corral_json(server.home, "ps", "--quarantined")
    assert (held["tenant"], held["model"], held["crashes"]) == ("looper", MODEL, CRASHES_MAX)
    assert f"corral release looper {MODEL}" in corral(server.home, "ps").stderr

    # The next gateway knows it too.
    os.kill(zone_process(server, "gateway").pid, signal.SIGKILL)
    other = server.openai(bystander_key)
    assert wait_until(lambda: works(other), seconds=LOOSE_S)
    assert refused(client, "Hello") == "model_quarantined"

    corral(server.home, "release", "looper", MODEL)
    assert say(client, "Hello")


@pytest.mark.claim("BLAST-04")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda n: n.name)
def test_after_the_launcher_the_next_start_recovers(
    hostile: HostileServer, number: signal.Signals
) -> None:
    server = hostile.running
    assert works(server.openai())
    launcher = psutil.Process(server.pid).children()[0]
    family = psutil.Process(server.pid).children(recursive=True)
    launcher.send_signal(number)
    server.process.wait(60)
    assert not psutil.wait_procs(family, timeout=60)[1], "everything ends with it"
    server.stop()
    began = time.monotonic()
    assert works(hostile.start_again().openai())
    print(f"\nrecovery launcher {number.name}: {time.monotonic() - began:.2f} s from `corral up`")
