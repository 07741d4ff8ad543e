"""A sealed worker, started by the real launcher: with the genuine engine, and a hostile one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from corral.engine.wire import Cancel, Generate, Load, Message, Sampling, encode_line
from corral.guard.json_schema import parse_schema
from corral.sandbox.policy import sealed_document
from tests.support.children import ended
from tests.support.jail_job import engine_start, job_launcher, replace_worker
from tests.support.served_template import TEXT
from tests.support.server import copy_home, wait_until

PROGRAM = Path(__file__).with_name("sealed_probe.py")
DENIED = {"EPERM", "RuntimeError"}
"""`RuntimeError`: how Python says that it cannot start a thread."""
_SCHEMA = """{"type": "object", "required": ["name", "sizes"], "properties": {
    "name": {"type": "string", "maxLength": 20}, "day": {"type": "string", "format": "date"},
    "sizes": {"type": "array", "items": {"type": "integer", "maximum": 99}, "maxItems": 3}}}"""
ONLY_OUTSIDE = {"preadv2:nowait", "fork", "exec", "socket:inet", "signal:others", "memfd"}
"""What the first filter denies already while the model is loaded."""
LANDLOCKED = {"open:file", "open:folder", "list:processes"}
IN_VAIN = {"newfstatat", "openat", "mremap"}
"""The profile says why that is no loss."""

ELSEWHERE = {"clock_gettime", "exit", "rseq"}
"""exit: a thread of an engine that failed (tests/security/blast/test_recovery.py). rseq: a thread
that is born while the filter is put on (tests/unit/jail/test_seal_unsafe.py). clock_gettime:
where the vDSO cannot tell the time. That is gVisor in its first second (the probe program below,
which loads at once, could not be sealed there without the rule; the genuine engine takes longer),
and on other tiers a kernel that drops its clock source, which no test may bring about (ADR 11)."""


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> dict[str, str]:
    """The same probes outside of any jail."""
    model = tmp_path_factory.mktemp("control") / "model"
    model.write_bytes(b"x" * 4096)
    done = subprocess.run(
        [sys.executable, "-S", str(PROGRAM), "--control", str(model)],
        capture_output=True, text=True, check=True, timeout=60, env={},
    )  # fmt: skip
    return json.loads(done.stdout)


class Running(NamedTuple):
    """A jailed worker that this test talks to."""

    pid: int
    write: int
    lines: Any

    def say(self, message: Generate | Cancel) -> None:
        os.write(self.write, encode_line(message))

    def until_end(self, *ids: int) -> list[dict]:
        heard, open_ids = [], set(ids)
        while open_ids:
            heard.append(json.loads(self.lines.readline()))
            if heard[-1]["ev"] in {"end", "fail"}:
                open_ids.remove(heard[-1]["id"])
        return heard


def running(home: Path, runtime: str, **options: Any) -> Iterator[Running]:
    with job_launcher(home, sandbox__runtime=runtime) as launcher:
        started, (write, stdout, stderr) = launcher.start(engine_start(**options))
        os.write(write, encode_line(Load(TEXT)))
        with os.fdopen(stdout) as lines, os.fdopen(stderr) as errors:
            first = lines.readline()
            if '"ready"' not in first:
                os.close(write)
                pytest.fail(f"{first} {errors.read()} {launcher.wait_ended(started.worker_id)}")
            yield Running(started.pid, write, lines)
            os.close(write)
        launcher.wait_ended(started.worker_id)


@pytest.fixture(scope="module", params=["crun", "runc", "runsc"])
def inside(request, needs_runtime, model_home, tmp_path_factory) -> dict:
    needs_runtime(request.param)
    home = copy_home(model_home, tmp_path_factory.mktemp("probe") / "home")
    replace_worker(home, PROGRAM)
    for worker in running(home, request.param):
        worker.say(Generate(1, Sampling(64), prompt="probe"))
        heard = worker.until_end(1)
    return json.loads(heard[0]["text"]) | {"runtime": request.param}


@pytest.mark.claim("SEAL-04")
def test_code_behind_the_seal_can_do_nothing(inside, outside):
    for place in ("engine's thread", "request's thread"):
        outcomes = dict(inside[place])
        assert outcomes.pop("sweep") == {}, place
        through = {name: found for name, found in outcomes.items() if found not in DENIED}
        assert through == {}, place
    # Controls: each probe works before the seal, or else outside of the jail.
    loading = inside["loading"]
    works = {name for name, found in loading.items() if found == "ok"}
    walled = ONLY_OUTSIDE | (LANDLOCKED if inside["runtime"] != "runsc" else set())
    assert set(loading) - works <= walled, loading
    for name in walled:
        # RWF_NOWAIT may say that a page is not in memory, and exec that there is no such file.
        assert outside[name] in {"ok", "EAGAIN", "ENOENT"}, name


@pytest.mark.claim("SEAL-03")
def test_landlock_holds_while_the_model_is_loaded(inside, outside):
    if inside["runtime"] == "runsc":
        # gVisor's kernel has no Landlock; what it opens is the sentry's matter.
        assert inside["loading"]["open:file"] == "ok"
        return
    assert {inside["loading"][name] for name in LANDLOCKED} == {"EACCES"}
    assert inside["loading"]["open:model"] == "ok"
    assert {outside[name] for name in LANDLOCKED} == {"ok"}


@pytest.fixture(scope="module", params=["crun", "runc"])
def live(request, needs_runtime, model_home, tmp_path_factory) -> Iterator[Running]:
    needs_runtime(request.param)
    home = copy_home(model_home, tmp_path_factory.mktemp("live") / "home")
    yield from running(home, request.param)


def threads(pid: int) -> dict[str, dict[str, str]]:
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found[task.name] = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return found


@pytest.mark.claim("SEAL-02")
def test_every_thread_of_a_live_worker_has_the_last_filter(live):
    before = threads(live.pid)
    assert {t["Seccomp_filters"] for t in before.values()} == {"3"}
    assert {t["Seccomp"] for t in before.values()} == {"2"}
    open_fds = {fd.name for fd in Path(f"/proc/{live.pid}/fd").iterdir()}
    assert open_fds == {"0", "1", "2"}
    live.say(Generate(1, Sampling(8), messages=(Message("user", "Hello"),)))
    assert live.until_end(1)[-1]["ev"] == "end"
    assert set(threads(live.pid)) == set(before), "no thread is made or ends after the seal"


@pytest.mark.claim("SEAL-02")
@pytest.mark.timeout(400)  # a quarter of a million calls, each of them told to strace
def test_every_allowed_call_is_used_by_a_full_answer(model_home, tmp_path, needs_runtime):
    """Non-redundancy: a call that nothing uses must leave the list."""
    needs_runtime("crun")
    if not shutil.which("strace"):
        assert os.environ.get("CI") != "true", "CI must have strace"
        pytest.skip("strace is not installed")
    home = copy_home(model_home, tmp_path / "home")
    trace = tmp_path / "trace"
    for worker in running(home, "crun", parallel=8, event_interval_ms=40):
        with ended(
            subprocess.Popen(["strace", "-f", "-qq", "-o", str(trace), "-p", str(worker.pid)])
        ) as tracer:
            # Attached once a thread has come out of its wait under the tracer's eyes.
            assert wait_until(lambda: trace.exists() and trace.stat().st_size > 0)
            every_kind_of_request(worker)
            stop_for_an_instant(worker.pid)
            worker.say(Generate(99, Sampling(2), prompt="after a stop"))
            worker.until_end(99)
            os.close(worker.write)
            assert worker.lines.readline() == ""
            tracer.wait(30)
        os.dup2(os.open(os.devnull, os.O_WRONLY), worker.write)
    text = trace.read_text()
    made = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", text, re.MULTILINE))
    listed = {name for rule in json.loads(sealed_document("engine")) for name in rule["names"]}
    assert made - listed <= IN_VAIN
    assert listed - made == ELSEWHERE


def stop_for_an_instant(pid: int) -> None:
    """Stop and continue a worker before the launcher, who kills what is stopped, has seen it."""
    before = os.sched_getparam(0), os.sched_getscheduler(0)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # nothing between the two
    try:
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGCONT)
    finally:
        os.sched_setscheduler(0, before[1], before[0])


def every_kind_of_request(worker: Running) -> None:
    hello = (Message("user", "Tell me about the sea."),)
    worker.say(Generate(1, Sampling(24), messages=hello))
    worker.until_end(1)
    worker.say(Generate(2, Sampling(24, temperature=0.9, stop=("zzz",)), prompt="Once upon"))
    worker.until_end(2)
    worker.say(Generate(3, Sampling(12, logprobs=5), messages=hello))
    worker.say(Generate(4, Sampling(12, logprobs=5, seed=3), prompt="x"))
    heard = worker.until_end(3, 4)
    assert any(line.get("logprobs") for line in heard)
    worker.say(Generate(5, Sampling(1500), prompt="A long story."))
    worker.say(Cancel(5))
    assert worker.until_end(5)[-1]["reason"] == "cancelled"
    worker.say(Generate(6, Sampling(4), prompt="too long " * 4000))
    assert worker.until_end(6)[-1]["code"] == "context_length_exceeded"
    schema = parse_schema(json.loads(_SCHEMA), "schema")
    for number in (7, 8):
        bound = Sampling(200, json_schema=schema.text, seed=number)
        worker.say(Generate(number, bound, messages=hello))
        said = worker.until_end(number)
        text = "".join(line["text"] for line in said[:-1])
        assert said[-1]["reason"] == "length" or schema.check_text(text) is None, text
    for number in range(10, 18):
        # As many small blocks as a long answer with log-probabilities has, in a short one.
        worker.say(Generate(number, Sampling(12, logprobs=600), prompt=f"{number} wolves "))
    worker.until_end(*range(10, 18))


@pytest.mark.claim("SEAL-05")
def test_a_worker_that_cannot_seal_itself_never_serves(model_home, tmp_path, needs_runtime):
    needs_runtime("crun")
    home = copy_home(model_home, tmp_path / "home")
    root = next((home / "images").glob("engine-*/rootfs"))
    profile = root / "opt/python/sealed.json"
    rules = json.loads(profile.read_text())
    profile.unlink()  # it may be shared with the template by a hard link
    unknown = {"names": ["clone"]}  # no call that the assembler knows
    profile.write_text(json.dumps([*rules, unknown]))
    with job_launcher(home, sandbox__runtime="crun") as launcher:
        started, (write, stdout, stderr) = launcher.start(engine_start())
        with os.fdopen(stdout) as lines, os.fdopen(stderr) as errors:
            assert json.loads(lines.readline()) == {"ev": "fatal", "code": "seal_failed"}
            assert lines.readline() == ""
            assert "seal_failed" in errors.read()
        os.close(write)
        launcher.wait_ended(started.worker_id)
