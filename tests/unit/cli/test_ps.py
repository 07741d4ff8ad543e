"""ps and its two lists: live workers, and what is in quarantine."""

from __future__ import annotations

import pytest

from corral.core.home import Home
from corral.tenancy.ward import Ward
from tests.support.command_line import Corral
from tests.support.launcher_stand_in import answering_launcher
from tests.unit.cli.test_server import worker


@pytest.fixture
def held(home: Home) -> None:
    ward = Ward(home.database)
    ward.hold("acme", "b" * 64, model="smol", crashes=5, seconds=600)
    ward.close()


@pytest.mark.usefixtures("held")
def test_every_row_of_the_workers_has_the_keys_of_a_worker(corral: Corral, home: Home) -> None:
    with answering_launcher(home, [worker(1, "engine", "acme", "smol")], 1):
        rows = corral("ps", "--home", str(home.root), "--json").document
        assert [row["kind"] for row in rows] == ["engine"]
        assert {"tenant", "model", "pid", "runtime", "tier", "rss_bytes"} <= set(rows[0])
        table = corral("ps", "--home", str(home.root))
    assert "4242" in table.out
    assert "corral release acme smol" in table.err  # a person still sees it


@pytest.mark.usefixtures("held")
def test_quarantines_are_a_list_of_their_own_without_a_server(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    (row,) = corral("ps", "--quarantined", *place, "--json").document
    assert set(row) == {"tenant", "model", "digest", "crashes", "since", "until"}
    assert (row["tenant"], row["model"], row["crashes"]) == ("acme", "smol", 5)
    assert "smol" in corral("ps", "--quarantined", *place).out
    corral("release", "acme", "smol", *place)
    assert corral("ps", "--quarantined", *place, "--json").document == []
    assert "nothing is in quarantine" in corral("ps", "--quarantined", *place).err
