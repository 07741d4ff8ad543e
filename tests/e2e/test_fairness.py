"""A flooder and another tenant on the real server."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from corral.cli.readback import cgroup_folders
from tests.support.server import MODEL, RunningServer, wait_until


@pytest.mark.claim("LIM-08")
def test_a_flooder_does_not_hold_up_another_tenant(shared_server: RunningServer) -> None:
    keys = {name: shared_server.add_tenant(f"fair-{name}") for name in ("flooder", "light")}
    order: list[str] = []

    def ask(name: str) -> None:
        shared_server.openai(keys[name]).chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Count."}], max_tokens=8
        )
        order.append(name)

    ask("light")  # its worker is warm
    flood = [threading.Thread(target=ask, args=("flooder",)) for _ in range(9)]
    for one in flood:
        one.start()
    ask("light")
    for one in flood:
        one.join()
    assert order.count("flooder") == 9
    assert order.index("light", 1) < 9  # not after all who came before


@pytest.mark.claim("LIM-13")
def test_a_flooders_worker_computes_after_a_light_tenants(shared_server: RunningServer) -> None:
    """The kernel's own files; the shares come back when there is no flood any more."""
    keys = {name: shared_server.add_tenant(f"cores-{name}") for name in ("flooder", "light")}

    def ask(name: str, tokens: int) -> None:
        shared_server.openai(keys[name]).chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Count."}], max_tokens=tokens
        )

    def weight(name: str) -> int:
        """Return the weight of a worker, as the kernel has it, over that of its profile in %."""
        pid = shared_server.worker_of(f"cores-{name}")["pid"]
        own = Path("/proc/self")
        folder, _ = next(cgroup_folders(Path(f"/proc/{pid}"), own, "cpu"))
        file = folder / "cpu.shares"
        if file.exists():
            return round(int(file.read_text()) * 100 / 1024)
        return round(int((folder / "cpu.weight").read_text()) * 100 / 39)

    for name in keys:
        ask(name, 1)
    assert (weight("flooder"), weight("light")) == (100, 100), "the control"
    flood = [threading.Thread(target=ask, args=("flooder", 200)) for _ in range(6)]
    for one in flood:
        one.start()
    assert wait_until(lambda: weight("flooder") == 2)
    assert weight("light") == 100
    for one in flood:
        one.join()
    assert wait_until(lambda: weight("flooder") == 100)
