"""The real launcher puts each model into the tier of its trust level."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from corral.ipc.messages import StartEngine
from tests.support.measured_launcher import StartedLauncher, start_job

Launch = Callable[..., StartedLauncher]
EngineFor = Callable[..., StartEngine]


def note(home: Home, message: StartEngine, trust: str) -> None:
    home.trust_marks.mkdir(parents=True, exist_ok=True)
    mark = home.trust_mark(Digest(message.digest))
    mark.unlink(missing_ok=True)
    mark.write_text(trust)
    mark.chmod(0o444)


def runtime_of(launcher: StartedLauncher, message: StartEngine) -> tuple[str, str, str]:
    """Start a worker and return (runtime, tier, its first line); stops it again."""
    started, (stdin, out, err) = launcher.client.start(message)
    with os.fdopen(out, "rb") as stdout:
        line = stdout.readline().decode().strip()
        listed = {w.worker_id: w.tier for w in launcher.client.workers()}
        assert listed[started.worker_id] == started.tier
        launcher.client.stop(started.worker_id)
    os.close(stdin)
    os.close(err)
    return started.runtime, started.tier, line


@pytest.mark.claim("HOST-03")
def test_each_trust_level_runs_in_its_tier(
    launch: Launch, engine_for: EngineFor, job_home: Home, needs_runtime: Callable[[str], None]
) -> None:
    for name in ("crun", "runsc"):
        needs_runtime(name)
    launcher = launch({"sandbox.runtime": "crun", "tier_by_trust.untrusted": "gvisor"})
    message = engine_for("hang")
    gvisor, namespaces = ("runsc", "gvisor", "hang"), ("crun", "namespaces", "hang")
    assert runtime_of(launcher, message) == gvisor  # no mark at all
    note(job_home, message, "verified")
    assert runtime_of(launcher, message) == namespaces
    job_home.trust_mark(Digest(message.digest)).chmod(0o666)
    note(job_home, message, "trusted")
    job_home.trust_mark(Digest(message.digest)).chmod(0o666)
    assert runtime_of(launcher, message) == gvisor  # anybody could have written that


@pytest.mark.claim("HOST-03")
def test_without_the_tiers_runtime_nothing_starts(job_home: Home) -> None:
    launcher = start_job(job_home, {"tier_by_trust.trusted": "vm", "sandbox.runtime": "crun"})
    with pytest.raises(CorralError):
        list(launcher.client.workers())
    assert launcher.end() == 1
    assert launcher.monitor.stderr
    told = launcher.monitor.stderr.read()
    launcher.monitor.stderr.close()
    assert "tier_unsupported" in told or "runtime_missing" in told
