"""The table of live jails against a plain model of it."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from corral.core.errors import SandboxError
from corral.launcher.jails import Jail, JailTable

LIMIT = 4


class TableMachine(RuleBasedStateMachine):
    """Start and end jails in any order."""

    live = Bundle("live")

    def __init__(self) -> None:
        super().__init__()
        self.table = JailTable(LIMIT)
        self.model: dict[int, Jail] = {}
        self.used: set[int] = set()

    @rule(
        target=live,
        owner=st.integers(1, 3),
        deadline=st.none() | st.floats(1, 100),
    )
    def start(self, owner: int, deadline: float | None) -> Jail | None:
        if len(self.model) >= LIMIT:
            with pytest.raises(SandboxError) as caught:
                self.table.reserve()
            assert caught.value.code == "too_many_workers"
            return None
        worker_id = self.table.reserve()
        assert worker_id not in self.used
        self.used.add(worker_id)
        jail = Jail(
            worker_id=worker_id, kind="scan", name=f"scan-{worker_id}", pid=1000 + worker_id,
            host_pid=0, owner=owner, deadline=deadline,
        )  # fmt: skip
        self.table.add(jail)
        self.model[worker_id] = jail
        return jail

    @rule(jail=consumes(live))
    def end(self, jail: Jail | None) -> None:
        if jail is not None:
            self.table.remove(jail)
            del self.model[jail.worker_id]

    @rule(jail=live)
    def time_out(self, jail: Jail | None) -> None:
        if jail is not None:
            jail.timed_out = True

    @rule(now=st.floats(0, 110))
    def look_for_overdue(self, now: float) -> None:
        late = {
            j.worker_id
            for j in self.model.values()
            if j.deadline is not None and j.deadline <= now and not j.timed_out
        }
        assert {jail.worker_id for jail in self.table.overdue(now)} == late

    @invariant()
    def agrees(self) -> None:
        assert len(self.table) == len(self.model)
        waiting = [j.deadline for j in self.model.values() if j.deadline and not j.timed_out]
        assert self.table.next_deadline() == min(waiting, default=None)
        for owner in (1, 2, 3):
            owned = {j.worker_id for j in self.table.owned_by(owner)}
            assert owned == {i for i, j in self.model.items() if j.owner == owner}
        listed, after = [], 0
        while jail := self.table.after(after):
            listed.append(after := jail.worker_id)
        assert listed == sorted(self.model)
        for worker_id in self.used:
            assert self.table.find(worker_id) is self.model.get(worker_id)
            found = self.table.of_pid(1000 + worker_id)
            assert found is self.model.get(worker_id)


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
