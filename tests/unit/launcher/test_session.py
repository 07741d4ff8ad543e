from __future__ import annotations

from corral.ipc.messages import Done, GatewayReady
from corral.launcher.session import Reply, Role, Session


def test_a_new_session_has_used_nothing() -> None:
    session = Session(1, Role.JOB, set())
    session.used.add(Done)
    assert Session(2, Role.JOB, set()).used == set()
    assert not session.draining
    assert session.ready
    gateway = Session(3, Role.GATEWAY, set())
    assert not gateway.ready
    gateway.used.add(GatewayReady)
    assert gateway.ready
    assert Reply(None).fds == ()
    assert {role.value for role in Role} == {"gateway", "job", "operator"}
