"""Hostile requests at a real server: typed refusals, and no engine of another tenant notices.

`make bench-hostile-requests` sends ten thousand and prints how long a refusal takes.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bystander import Bystander
from tests.support.hostile_requests import hostile_requests
from tests.support.server import MODEL, RunningServer

MANY = 300


@pytest.mark.claim("SAN-05")
def test_no_hostile_request_ends_an_engine_or_gets_a_five(
    home: Path, server_factory: Callable[..., RunningServer]
) -> None:
    (home / "corral.toml").write_text(
        "[engine]\ncontext_tokens = 512\n[limits]\nrequests_per_minute = 100000\n"
    )
    server = server_factory()
    other = server.add_tenant("other")
    server.openai(other).completions.create(model=MODEL, prompt="x", max_tokens=1)
    before = server.worker_of("other")["pid"]
    answers: Counter[tuple[str, int]] = Counter()
    with Bystander(server, other) as bystander:
        http = server.http()
        for request in itertools.islice(hostile_requests(7, MODEL), MANY):
            answer = http.post(
                request.path, content=request.body, headers={"content-type": "application/json"}
            )
            answers[request.family, answer.status_code] += 1
            if answer.status_code != 200:
                error = answer.json()["error"]
                assert set(error) == {"message", "type", "param", "code"}
                assert error["code"]
    assert {status for _, status in answers} <= {200, 400, 404, 413}, answers
    assert bystander.failures == []
    assert len(bystander.texts) == 1
    assert server.worker_of("other")["pid"] == before
    assert "internal_error" not in server.log()
    # The control: they are what they are meant to be, most refused, some answered.
    assert len({family for family, _ in answers}) == 11
    assert answers["extreme", 200] > 0, answers
    assert answers["schema", 200] > 0, answers
    assert sum(n for (_, status), n in answers.items() if status >= 400) > MANY // 2
