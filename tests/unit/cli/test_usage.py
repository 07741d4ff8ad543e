from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import insert

from corral.core.home import Home
from corral.state.database import open_database, writing
from corral.state.tables import usage
from corral.tenancy.holder import USERS
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


def test_it_is_told_apart_and_written_as_asked(corral: Corral, home: Home, tmp_path: Path) -> None:
    row = {
        "ts_ms": 86_400_000, "tenant": "acme", "key_id": 7, "model": "smol", "prompt_tokens": 10,
        "completion_tokens": 5, "cached_tokens": 2, "status": "ok", "duration_ms": 9,
        "engine_ms": 1500,
    }  # fmt: skip
    with writing(open_database(home.database)) as connection:
        connection.execute(
            insert(usage), [row, row | {"key_id": USERS + 0xABC, "ts_ms": 2 * 86_400_000}]
        )
    place = ("--home", str(home.root))
    days = corral("usage", "--by", "day,key", *place, "--json").document
    assert [(one["day"], one["key"], one["engine_s"]) for one in days] == [
        ("1970-01-02", "7", 1.5), ("1970-01-03", "oidc-0000000000abc", 1.5),
    ]  # fmt: skip
    assert days[0]["energy_j"] is None
    assert "tenant" not in days[0]
    lines = corral("usage", "--by", "tenant", "--csv", *place).out.splitlines()
    assert lines[0].startswith("tenant,requests,failed,prompt_tokens")
    assert lines[1].startswith("acme,2,0,20,10,4,3.0")
    assert "\noidc-0000000000abc,1," in corral("usage", "--by", "key", "--csv", *place).out
    assert "oidc-0000000000abc" in corral("usage", "--by", "key", *place).out
    for name in ("plot.svg", "plot.png"):
        corral("usage", "--plot", str(tmp_path / name), *place)
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "code"),
    [(("--by", "colour"), "bad_group"), (("--by", "day,day"), "bad_group"),
     (("--plot", "x.exe"), "bad_plot"), (("--plot", "/nowhere/x.svg"), "bad_plot")],
    ids=["group", "twice", "format", "place"],
)  # fmt: skip
def test_what_cannot_be_shown_is_refused(
    corral: Corral, home: Home, options: tuple[str, str], code: str
) -> None:
    assert corral("usage", *options, "--home", str(home.root), "--json").error_code == code
