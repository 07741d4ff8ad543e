"""A gateway weighs its own engine workers, within their profile, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from corral.core.config import Config
from corral.core.errors import SandboxError
from corral.core.home import Home
from corral.ipc.messages import Done, Refused, ShareCores
from corral.launcher.events import EventLog
from corral.launcher.jails import Jail, JailTable
from corral.launcher.pen import Pen
from corral.launcher.requests import Requests
from corral.launcher.session import Reply, Role, Session
from corral.sandbox.cgroup import CgroupHost

MINE = Session(1, Role.GATEWAY, set())
OTHER = Session(2, Role.GATEWAY, set())
AddJail = Callable[..., Jail]


@pytest.fixture
def table(home: Home, config: Config, pen: Pen, jails: JailTable, log: EventLog) -> Requests:
    return Requests(
        home=home, config=config, pen=pen, jails=jails, log=log, on_gateway_ready=lambda: None
    )


@pytest.mark.claim("LIM-13")
@pytest.mark.parametrize(
    ("session", "kind", "worker_id", "percent", "code"),
    [(MINE, "engine", 4, 50, "no_such_worker"), (MINE, "scan", 1, 50, "no_such_worker"),
     (MINE, "gateway", 1, 50, "no_such_worker"),
     (OTHER, "engine", 1, 50, "no_such_worker"),
     (MINE, "engine", 1, 101, "bad_engine_option"), (MINE, "engine", 1, 0, "bad_engine_option")],
)  # fmt: skip
def test_shares_that_are_not_given(
    table: Requests, add_jail: AddJail, tmp_path: Path, session: Session, kind: str,
    worker_id: int, percent: int, code: str,
) -> None:  # fmt: skip
    weights = weighed(table, tmp_path)
    add_jail(kind=kind).cgroup_path = "/g"
    if code == "no_such_worker":
        reply = table.share_cores(session, ShareCores(worker_id, percent)).message
        assert isinstance(reply, Refused)
        assert reply.code == code
    else:
        with pytest.raises(SandboxError) as refused:
            table.share_cores(session, ShareCores(worker_id, percent))
        assert refused.value.code == code
    assert weights() == ""


@pytest.mark.claim("LIM-13")
def test_an_engines_share_is_of_its_profiles_weight(
    table: Requests, add_jail: AddJail, tmp_path: Path
) -> None:
    weights = weighed(table, tmp_path)
    jail = add_jail()
    assert table.share_cores(MINE, ShareCores(jail.worker_id, 12)) == Reply(Done())
    assert weights() == "", "a host without control groups has nothing to weigh"
    jail.cgroup_path = "/g"
    for percent, shares in ((12, "122"), (1, "10"), (100, "1024")):
        assert table.share_cores(MINE, ShareCores(jail.worker_id, percent)) == Reply(Done())
        assert weights() == shares


def weighed(table: Requests, tmp_path: Path) -> Callable[[], str]:
    """Give the launcher a hierarchy of plain files; return what its group weighs."""
    (tmp_path / "cgroups/cpu/g").mkdir(parents=True)
    table._pen.host = replace(table._pen.host, cgroups=CgroupHost(1, tmp_path / "cgroups"))
    file = tmp_path / "cgroups/cpu/g/cpu.shares"
    return lambda: file.read_text() if file.exists() else ""
