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
@pytest.mark.claim("VISION-03")
@pytest.mark.parametrize("option", ["adapter", "projector"])
@pytest.mark.parametrize("runtime", ["crun", "runc", "runsc"])
def test_a_worker_reads_what_was_noted_for_its_model(
    launch: Launch, engine_for: EngineFor, job_home: Home, runtime: str, option: str,
    needs_runtime: Callable[[str], None],
) -> None:  # fmt: skip
    needs_runtime(runtime)
    digest = Digest(hashlib.sha256(b"matrices").hexdigest())
    job_home.blob(digest).write_bytes(b"matrices")
    job_home.blob(digest).chmod(0o444)
    plain, how = engine_for(option), "250" if option == "adapter" else "projector"
    message = replace(plain, projector=digest)
    if option == "adapter":
        message = replace(plain, adapter=digest, adapter_scale=250)
    launcher = launch({"sandbox.runtime": runtime})
    with pytest.raises(CorralError) as refused:
        launcher.client.start(message)
    assert refused.value.code == "adapter_not_admitted"
    job_home.trust_marks.mkdir(parents=True, exist_ok=True)
    mark = job_home.trust_mark(pair_digest(Digest(message.digest), digest, how))
    mark.write_text("untrusted")
    mark.chmod(0o444)
    started, (stdin, out, err) = launcher.client.start(message)
    told = b"250\n" if option == "adapter" else b"none\n"
    with os.fdopen(out, "rb") as stdout:
        lines = [stdout.readline() for _ in range(3)]
        assert lines == [f"{option}\n".encode(), b"matrices\n", told]
        launcher.client.stop(started.worker_id)
    os.close(stdin)
    os.close(err)
    other = replace(plain, adapter=digest, adapter_scale=251)
    with pytest.raises(CorralError) as refused:
        launcher.client.start(other)
    assert refused.value.code == "adapter_not_admitted"
