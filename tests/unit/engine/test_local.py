"""The blocking client against a real process that speaks the wire, well and badly."""

from itertools import chain
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.ids import Digest
from corral.core.limits import MIB, WIRE_LINE_BYTES
from corral.engine.local import LocalWorker
from corral.engine.sizing import trial_demand, trial_start
from corral.engine.wire import Chunk, End, Generate, Sampling
from tests.support.fake_launcher import FakeLauncher
from tests.support.memory_shapes import Model
from tests.support.served_template import TEXT
from tests.support.server import wait_until

DIGEST = Digest("a" * 64)
ASK = Generate(id=1, sampling=Sampling(max_tokens=100), prompt="one two")
SHORT = Generate(id=1, sampling=Sampling(max_tokens=4), prompt="x")
START = trial_start(DIGEST, trial_demand(Model(), Config().engine))


def test_an_answer_comes_chunk_by_chunk() -> None:
    with FakeLauncher() as launcher:
        client = LauncherClient(launcher.client)
        with LocalWorker(client, START, TEXT, 60) as worker:
            assert worker.ready.engine == "fake 1"
            *chunks, end = worker.generate(ASK)
        assert "".join(c.text for c in chunks if isinstance(c, Chunk)) == "you said one two"
        assert isinstance(end, End)
        assert end.usage.prompt_tokens == 7
        assert not launcher.live


def test_a_request_that_is_too_long_is_refused_and_the_worker_takes_the_next() -> None:
    with (
        FakeLauncher() as launcher,
        LocalWorker(LauncherClient(launcher.client), START, TEXT, 60) as worker,
    ):
        with pytest.raises(CorralError) as caught:
            list(worker.generate(replace(ASK, prompt="x" * WIRE_LINE_BYTES)))
        assert caught.value.code == "prompt_too_long"
        *_, end = worker.generate(replace(ASK, id=2))
        assert isinstance(end, End)


def test_a_load_reports_the_memory_that_the_launcher_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait is taken for as long as it was meant to be, however long the machine made of it."""
    seen: list[int] = []
    clock_s = [0.0]
    monkeypatch.setattr("corral.engine.local.time", SimpleNamespace(monotonic=lambda: clock_s[0]))

    class Waiting(LocalWorker):
        def _poll(self, wait_s: float) -> None:
            # It has to be there to have memory: a new process is a shell of itself.
            assert wait_until(lambda: self._resident_bytes() > MIB)
            super()._poll(0)
            clock_s[0] += wait_s

    with FakeLauncher({"trial": "never_ready"}) as launcher:
        client = LauncherClient(launcher.client)
        with pytest.raises(CorralError) as caught:
            Waiting(client, START, TEXT, 0.6, loading=seen.append).__enter__()
        assert caught.value.code == "model_load_timeout"
    assert 3 <= len(seen) <= 8
    assert seen[-1] > MIB


def test_cancel_ends_the_answer_early() -> None:
    ask = Generate(id=5, sampling=Sampling(max_tokens=1000), prompt="forever")
    with (
        FakeLauncher({"trial": "slow"}) as launcher,
        LocalWorker(LauncherClient(launcher.client), START, TEXT, 60) as worker,
    ):
        for message in worker.generate(ask):
            if isinstance(message, End):
                assert message.reason == "cancelled"
            else:
                worker.cancel(5)


@pytest.mark.parametrize(
    ("mode", "code"),
    [("fatal", "model_load_failed"), ("not_sealed", "seal_failed"),
     ("never_ready", "model_load_timeout"),
     ("exit", "worker_failed"), ("refuse", "setup_error")],
)  # fmt: skip
def test_a_model_that_does_not_load_is_an_error_of_its_own(mode: str, code: str) -> None:
    load_s = 0.5 if code == "model_load_timeout" else 60
    with FakeLauncher({"trial": mode}) as launcher:
        with pytest.raises(CorralError) as caught:
            LocalWorker(LauncherClient(launcher.client), START, TEXT, load_s).__enter__()
        assert caught.value.code == code
        assert not launcher.live


@pytest.mark.parametrize("mode", ["garbage", "long_line", "wrong_id", "die", "die_midway",
                                  "endless", "long_text", "after_end", "surrogate"])  # fmt: skip
def test_a_hostile_worker_is_stopped(mode: str) -> None:
    with FakeLauncher({"trial": mode}) as launcher:
        start = LocalWorker(LauncherClient(launcher.client), START, TEXT, 60)
        with start as worker, pytest.raises(CorralError) as caught:
            # `after_end` may be noticed only at the second request
            list(chain.from_iterable(worker.generate(replace(SHORT, id=n)) for n in (1, 2)))
        assert caught.value.code == "worker_failed"
        assert not launcher.live
