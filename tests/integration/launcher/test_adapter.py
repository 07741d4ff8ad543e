"""The real launcher gives a worker an adapter beside its model, if admission noted the two."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest, pair_digest
from corral.ipc.messages import StartEngine
from tests.support.measured_launcher import StartedLauncher

Launch = Callable[..., StartedLauncher]
EngineFor = Callable[..., StartEngine]


@pytest.mark.claim("DRV-08")
@pytest.mark.parametrize("runtime", ["crun", "runc", "runsc"])
def test_a_worker_reads_the_adapter_that_was_noted_for_its_model(
    launch: Launch, engine_for: EngineFor, job_home: Home, runtime: str,
    needs_runtime: Callable[[str], None],
) -> None:  # fmt: skip
    needs_runtime(runtime)
    adapter = Digest(hashlib.sha256(b"matrices").hexdigest())
    job_home.blob(adapter).write_bytes(b"matrices")
    job_home.blob(adapter).chmod(0o444)
    message = replace(engine_for("adapter"), adapter=adapter, adapter_scale=250)
    launcher = launch({"sandbox.runtime": runtime})
    with pytest.raises(CorralError) as refused:
        launcher.client.start(message)
    assert refused.value.code == "adapter_not_admitted"
    job_home.trust_marks.mkdir(parents=True, exist_ok=True)
    mark = job_home.trust_mark(pair_digest(Digest(message.digest), adapter, 250))
    mark.write_text("untrusted")
    mark.chmod(0o444)
    started, (stdin, out, err) = launcher.client.start(message)
    with os.fdopen(out, "rb") as stdout:
        assert [stdout.readline() for _ in range(3)] == [b"adapter\n", b"matrices\n", b"250\n"]
        launcher.client.stop(started.worker_id)
    os.close(stdin)
    os.close(err)
    with pytest.raises(CorralError) as refused:
        launcher.client.start(replace(message, adapter_scale=251))
    assert refused.value.code == "adapter_not_admitted"
