"""A flooder and another tenant on the real server."""

from __future__ import annotations

import threading

import pytest

from tests.support.server import MODEL, RunningServer


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
