"""A model whose receipt does not verify is not served, and the log says which and why."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.unit.gateway.conftest import Served


@pytest.mark.claim("ADM-06")
def test_it_is_not_served_and_the_log_names_it(
    start: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    served = start()
    assert "tiny" in {model.id for model in served.client().models.list()}  # control
    with closing(sqlite3.connect(served.home.database)) as database, database:
        database.execute("UPDATE models SET signature = x'' WHERE name = 'tiny'")
    assert "tiny" not in {model.id for model in served.client().models.list()}
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if "{" in line]
    noted = [line for line in lines if line["event"] == "receipt_not_valid"]
    assert [(line["model"], line["reason"]) for line in noted] == [("tiny", "receipt_invalid")]
