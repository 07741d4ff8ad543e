"""The start of a media jail: it is given nothing, and a channel has only so many."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.limits import MEDIA_JAILS
from corral.launcher.events import EventLog
from corral.launcher.jails import Jail, JailTable
from corral.launcher.pen import JailRequest, Pen
from corral.launcher.requests import Requests
from corral.launcher.session import Role, Session

GATEWAY = Session(1, Role.GATEWAY, set())


@pytest.mark.claim("MEDIA-13")
def test_a_media_jail_is_given_nothing_and_a_channel_has_four(
    home: Home, config: Config, pen: Pen, jails: JailTable, log: EventLog,
    add_jail: Callable[..., Jail], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made: list[JailRequest] = []

    def start(request: JailRequest, *, owner: int) -> tuple[Jail, tuple[int, ...]]:
        made.append(request)
        return add_jail(kind=request.kind, owner=owner), ()

    monkeypatch.setattr(pen, "start", start)
    table = Requests(
        home=home, config=config, pen=pen, jails=jails, log=log, on_gateway_ready=lambda: None
    )
    for _ in range(MEDIA_JAILS):
        table.start_media(GATEWAY)
    assert made == [JailRequest(kind="media")] * MEDIA_JAILS, "no file, no folder, no argument"
    with pytest.raises(CorralError) as refused:
        table.start_media(GATEWAY)
    assert refused.value.code == "media_busy"
    table.start_media(Session(2, Role.JOB, set()))  # another channel has its own
    assert len(made) == MEDIA_JAILS + 1
