"""The detector's start: its own folder, one for each channel, and only where one is installed."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.launcher import requests
from corral.launcher.events import EventLog
from corral.launcher.jails import Jail, JailTable
from corral.launcher.pen import JailRequest, Pen
from corral.launcher.requests import Requests
from corral.launcher.session import Role, Session

GATEWAY = Session(1, Role.GATEWAY, set())


@pytest.fixture
def table(home: Home, config: Config, pen: Pen, jails: JailTable, log: EventLog) -> Requests:
    return Requests(
        home=home, config=config, pen=pen, jails=jails, log=log, on_gateway_ready=lambda: None
    )


@pytest.fixture
def asked(
    home: Home, pen: Pen, add_jail: Callable[..., Jail], monkeypatch: pytest.MonkeyPatch
) -> list[JailRequest]:
    """What the pen is asked to start; the zone has an image."""
    made: list[JailRequest] = []

    def start(request: JailRequest, *, owner: int) -> tuple[Jail, tuple[int, ...]]:
        made.append(request)
        return add_jail(kind=request.kind, owner=owner), ()

    monkeypatch.setattr(pen, "start", start)
    monkeypatch.setattr(requests, "IMAGES", home.images)
    (home.images / "guard").mkdir(parents=True)
    return made


def code_of(table: Requests, session: Session) -> str:
    with pytest.raises(CorralError) as caught:
        table.start_guard(session)
    return caught.value.code


@pytest.mark.claim("DET-05")
def test_the_detector_gets_its_folder_and_nothing_else(
    table: Requests, home: Home, asked: list[JailRequest]
) -> None:
    assert code_of(table, GATEWAY) == "detector_missing"
    home.detector.mkdir(mode=0o755)
    table.start_guard(GATEWAY)
    (request,) = asked
    assert (request.kind, request.args, request.file_fd) == ("guard", (), -1)
    assert os.readlink(f"/proc/self/fd/{request.beside_fd}") == str(home.detector)
    os.close(request.beside_fd)
    assert code_of(table, GATEWAY) == "guard_runs"
    home.detector.chmod(0o777)
    other = Session(2, Role.JOB, set())
    assert code_of(table, other) == "model_unsafe"
    home.detector.chmod(0o755)
    home.detector.rename(home.root / "elsewhere")
    home.detector.symlink_to(home.root / "elsewhere")
    assert code_of(table, other) == "detector_missing"
    assert len(asked) == 1


def test_there_is_no_detector_where_none_was_at_the_start(table: Requests, home: Home) -> None:
    home.detector.mkdir(mode=0o755)
    assert code_of(table, GATEWAY) == "detector_missing"
