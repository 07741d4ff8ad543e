from __future__ import annotations

import time

from sqlalchemy import insert

from corral.core.home import Home
from corral.state.database import open_database, writing
from corral.state.tables import usage
from tests.support.command_line import Corral


def test_totals_by_tenant_and_model(corral: Corral, home: Home) -> None:
    row = {
        "ts_ms": int(time.time() * 1000), "tenant": "default", "key_id": 1, "model": "smol",
        "prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 2, "status": "ok",
        "duration_ms": 9,
    }  # fmt: skip
    with writing(open_database(home.database)) as connection:
        connection.execute(insert(usage), [row, row | {"status": "cancelled"}])
        connection.execute(insert(usage).values(row | {"ts_ms": 1000}))
    place = ("--home", str(home.root))
    (total,) = corral("usage", *place, "--json").document
    assert (total["requests"], total["failed"], total["prompt_tokens"]) == (3, 1, 30)
    (recent,) = corral("usage", "--last", "1h", "--tenant", "default", *place, "--json").document
    assert recent["requests"] == 2
    assert corral("usage", "--tenant", "acme", *place, "--json").document == []
    assert "smol" in corral("usage", *place).out
