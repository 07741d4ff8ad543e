"""The request table is exactly what its docstring shows; everything else is refused."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from corral.core.errors import SandboxError
from corral.ipc import messages
from corral.ipc.messages import Done, GatewayReady, Message, NextWorker, NoMore, Refused
from corral.launcher import dispatch as module
from corral.launcher.dispatch import dispatch
from corral.launcher.session import Reply, Role, Session
from tests.unit.ipc.messages_strategy import KINDS, messages_of


class Recorder:
    """Stands where the requests are carried out and notes which were."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.seen: list[str] = []
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def carry_out(*_: object) -> Reply:
            self.seen.append(name)
            if self._error:
                raise self._error
            return Reply(Done())

        return carry_out


def documented() -> dict[str, set[Role]]:
    """Read the table from the docstring."""
    lines = (module.__doc__ or "").splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["request", "gateway"])
    columns = {role: lines[start].index(role.value) for role in Role}
    table: dict[str, set[Role]] = {}
    for line in lines[start + 1 :]:
        if not line.strip():
            break
        name = line.split()[0]
        table[name] = {
            role for role, at in columns.items() if "x" in line[at : at + len(role.value)].split()
        }
    return table


def sample(kind: type[Any]) -> Message:
    hints = {"int": 1, "bool": False, "str": "a"}
    return kind(*(hints[f.type] for f in kind.__dataclass_fields__.values()))  # type: ignore[no-any-return]


def ask(role: Role, message: Message, recorder: Recorder, session: Session | None = None) -> Reply:
    if session is None:  # one that may ask for all that its role ever may
        used = set() if isinstance(message, GatewayReady) else {GatewayReady}
        session = Session(1, role, set(used))
    return dispatch(recorder, session, 7, message)  # type: ignore[arg-type]


def test_the_docstring_shows_every_request() -> None:
    assert set(documented()) == {kind.__name__ for kind in module.TABLE}


@pytest.mark.claim("LCH-01")
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_each_message_from_each_role(kind: type[Any], role: Role) -> None:
    recorder = Recorder()
    reply = ask(role, sample(kind), recorder)
    if role in documented().get(kind.__name__, set()):
        assert reply == Reply(Done())
        assert len(recorder.seen) == 1
    else:
        assert isinstance(reply.message, Refused)
        assert reply.message.code == "not_permitted"
        assert recorder.seen == []


@pytest.mark.claim("LCH-01")
@pytest.mark.parametrize("role", [Role.GATEWAY, Role.JOB])
@pytest.mark.parametrize(
    ("message", "early", "late"),
    [(sample(messages.StartEngine), "not_permitted", "draining"),
     (sample(messages.ConfirmSealed), "not_permitted", ""),
     (messages.GatewayAlive(), "not_permitted", ""),
     (sample(messages.ShareCores), "not_permitted", ""),
     (sample(messages.StopWorker), "", ""), (NextWorker(0), "", "")],
    ids=lambda m: type(m).__name__,
)  # fmt: skip
def test_what_is_out_of_a_gateways_state_is_refused(
    role: Role, message: Message, early: str, late: str
) -> None:
    def code(session: Session) -> str:
        recorder = Recorder()
        reply = ask(role, message, recorder, session)
        refused = isinstance(reply.message, Refused)
        assert refused is (recorder.seen == [])
        return reply.message.code if isinstance(reply.message, Refused) else ""

    if role is Role.JOB:  # which is neither started nor drained
        of_gateway = isinstance(message, messages.GatewayAlive | messages.ShareCores)
        foreign = "not_permitted" if of_gateway else ""
        assert code(Session(1, role, set())) == foreign
        return
    assert code(Session(1, role, set())) == early
    assert code(Session(1, role, {GatewayReady})) == ""
    assert code(Session(1, role, {GatewayReady}, draining=True)) == late


def test_a_refusal_carries_code_message_and_remedy() -> None:
    recorder = Recorder(error=SandboxError("model_missing", "no such model", remedy="pull it"))
    reply = ask(Role.JOB, sample(messages.StartScan), recorder)
    assert reply.message == Refused("model_missing", "no such model", "pull it")


def test_a_fault_of_the_system_says_nothing_of_it() -> None:
    recorder = Recorder(error=PermissionError(13, "denied", "/secret/path"))
    reply = ask(Role.JOB, sample(messages.StartScan), recorder)
    assert isinstance(reply.message, Refused)
    assert reply.message.code == "launcher_failed"
    assert "secret" not in str(reply.message)


class OnceMachine(RuleBasedStateMachine):
    """Whatever else a gateway asks, it can be ready once."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(1, Role.GATEWAY, set())
        self.recorder = Recorder()
        self.ready = 0

    @rule(message=st.one_of([messages_of(kind) for kind in get_args(Message)]))
    def ask_anything(self, message: Message) -> None:
        reply = ask(Role.GATEWAY, message, self.recorder, self.session)
        self.ready += isinstance(message, GatewayReady) and reply.message == Done()

    @rule()
    def be_ready(self) -> None:
        reply = ask(Role.GATEWAY, GatewayReady(), self.recorder, self.session)
        assert (reply.message == Done()) == (self.ready == 0)
        self.ready += reply.message == Done()
        assert self.recorder.seen.count("gateway_ready") == self.ready == 1

    @rule()
    def go_on(self) -> None:
        assert ask(Role.GATEWAY, NextWorker(0), self.recorder, self.session) == Reply(Done())


TestOnce = OnceMachine.TestCase
TestOnce.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


@pytest.mark.claim("LCH-01")
def test_replies_are_no_requests() -> None:
    assert isinstance(ask(Role.JOB, NoMore(), Recorder()).message, Refused)
