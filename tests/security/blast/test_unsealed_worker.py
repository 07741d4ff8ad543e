"""A worker that says `ready` and is not sealed is killed before it hears of any request."""

from __future__ import annotations

import json
from pathlib import Path

import openai
import pytest

from corral.core.errors import CorralError
from corral.engine.local import LocalWorker
from corral.ipc.messages import WorkerEnded
from tests.support.jail_job import engine_start, job_launcher
from tests.support.served_template import TEXT
from tests.support.server import MODEL, RunningServer, copy_home, wait_until

LIES = {
    "bare": "a thread is not under the last filter",
    "half": "a thread is not under the last filter",
    "holding": "a thread has a descriptor beyond the wire",
}


def say(client: openai.OpenAI) -> str:
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=2, temperature=0
    )
    return answer.choices[0].message.content or ""


def life_of(server: RunningServer, tenant: str) -> dict[str, dict[str, object]]:
    """Return the launcher's events about the worker of a tenant, by name."""
    found: dict[str, dict[str, object]] = {}
    for line in server.log().splitlines():
        one = json.loads(line)
        if one["event"] == "jail_started" and one["tenant"] == tenant:
            found = {"jail_started": one}  # the log has others' numbers, from before this server
        elif found and one.get("worker_id") == found["jail_started"]["worker_id"]:
            found[one["event"]] = one
    return found


@pytest.mark.claim("SEAL-06")
@pytest.mark.parametrize("lie", LIES)
def test_it_is_killed_and_gets_no_request(server: RunningServer, lie: str) -> None:
    bystander = server.openai()
    assert say(bystander)  # control: a sealed worker of the same program serves
    with pytest.raises(openai.APIStatusError) as caught:
        say(server.openai(server.add_tenant(lie)))
    assert (caught.value.status_code, caught.value.code) == (503, "seal_failed")
    assert wait_until(lambda: "jail_ended" in life_of(server, lie))
    life = life_of(server, lie)
    assert life["worker_not_sealed"]["detail"] == LIES[lie]
    assert life["jail_ended"]["status"] == "seal_failed"
    assert life["jail_ended"]["reason"] == "not sealed"
    assert say(bystander)


@pytest.mark.claim("SEAL-06")
def test_what_cannot_be_told_apart_is_held_by_the_first_two_filters(server: RunningServer) -> None:
    """A third filter that allows everything: the limit of this look, and what still holds."""
    able = say(server.openai(server.add_tenant("forged")))
    assert able == "serve uname", "a sealed worker could not even do that"


@pytest.mark.claim("SEAL-06")
@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_for_one_command_too(
    hostile_home: Path, tmp_path: Path, needs_runtime, runtime: str
) -> None:  # type: ignore[no-untyped-def]
    needs_runtime(runtime)
    home = copy_home(hostile_home, tmp_path / "home")
    with job_launcher(home, sandbox__runtime=runtime) as launcher:
        with LocalWorker(launcher, engine_start(), TEXT) as worker:  # control
            assert worker.ready.engine
        with (
            pytest.raises(CorralError) as caught,
            LocalWorker(launcher, engine_start(tenant="half"), TEXT),
        ):
            pass
        assert caught.value.code == "seal_failed"
        endings = [e.status for e in launcher.events if isinstance(e, WorkerEnded)]
        assert endings == ["killed", "seal_failed"]


@pytest.mark.claim("SEAL-06")
def test_under_gvisor_the_sentry_is_looked_at(
    hostile_home: Path, tmp_path: Path, needs_runtime
) -> None:  # type: ignore[no-untyped-def]
    """The seal stands inside the sentry: a lie about it is not seen (security-model.md says so)."""
    needs_runtime("runsc")
    home = copy_home(hostile_home, tmp_path / "home")
    with job_launcher(home, sandbox__runtime="runsc") as launcher:
        for tenant in ("default", "bare"):
            with LocalWorker(launcher, engine_start(tenant=tenant), TEXT) as worker:
                assert worker.ready.engine
