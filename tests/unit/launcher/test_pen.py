"""A start that cannot be proven leaves nothing running and nothing leased."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from corral.core.errors import SandboxError
from corral.launcher import pen as pen_module
from corral.launcher.events import EventLog
from corral.launcher.host import Host
from corral.launcher.isolation import Isolation
from corral.launcher.jails import JailTable
from corral.launcher.lease import Leases
from corral.launcher.pen import JailRequest, Pen
from corral.launcher.placement import Places
from tests.support.children import ended


@pytest.mark.claim("HW-01")
@pytest.mark.parametrize(("cpu", "proven"), [(min(os.sched_getaffinity(0)), True), (4095, False)])
def test_a_worker_that_did_not_get_its_cores_is_ended(
    host: Host, jails: JailTable, log: EventLog, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, cpu: int, proven: bool,
) -> None:  # fmt: skip
    crun = host.plain_runtime
    isolation = Isolation(pool=((cpu,),), required=("ksm",))
    strict = replace(host, isolation=isolation, engine_runtimes={"untrusted": crun})
    pen = Pen(strict, jails, -1, log)
    leases = Leases(host.cgroups, tmp_path / "leases")
    pen._places = Places(isolation, leases)
    documents: list[dict[str, object]] = []
    with ended(subprocess.Popen(["/bin/sleep", "60"])) as process:
        # What an OCI runtime would start; on the core that it should be on, or not.
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})

        def started(_runtime: object, _name: str, document: dict[str, object], *_: object,
                    **__: object) -> int:  # fmt: skip
            documents.append(document)
            return process.pid

        monkeypatch.setattr(pen_module, "start_bundle", started)
        monkeypatch.setattr(pen_module, "remove_bundle", lambda *_: None)
        monkeypatch.setattr(pen_module, "host_pid_of", lambda *_: 1)
        request = JailRequest(kind="engine", tenant="a", strict=True)
        if proven:  # control
            jail, fds = pen.start(request, owner=1)
            for fd in fds:
                os.close(fd)
            assert leases.take(f"core-{cpu}", "/b") == -1
            jail.place.leave()
            process.kill()
        else:
            with pytest.raises(SandboxError) as caught:
                pen.start(request, owner=1)
            assert caught.value.code == "isolation_unproven"
        assert process.wait(10) == -9
    assert leases.take(f"core-{cpu}", "/b") >= 0
    assert "--require=ksm" in str(documents[0])
