"""Limits through a whole gateway: refusals, headers, refunds, hot reload."""

from __future__ import annotations

from collections.abc import Callable

import openai
import pytest

from corral.state.database import open_database
from corral.tenancy.grants import grant_model
from corral.tenancy.quota import Scope
from corral.tenancy.quota_table import change_quotas
from tests.unit.gateway.conftest import Served
from tests.unit.gateway.test_pipeline import HELLO, eventually

PATH = "/v1/chat/completions"
BODY = {"model": "tiny", "messages": HELLO}


def test_every_answer_says_what_is_left(served: Served) -> None:
    with served.http(headers=served.bearer()) as http:
        whole = http.post(PATH, json=BODY)
        streamed = http.post(PATH, json=BODY | {"stream": True})
    for answer in (whole, streamed):
        assert answer.headers["x-ratelimit-limit-requests"] == "600"
        assert int(answer.headers["x-ratelimit-remaining-requests"]) in {98, 99}
        assert answer.headers["x-ratelimit-reset-requests"].endswith("ms")
        assert "x-ratelimit-limit-tokens" not in answer.headers  # nothing limits them


@pytest.mark.claim("LIM-04")
def test_tokens_are_reserved_refused_and_given_back(start: Callable[..., Served]) -> None:
    served = start(limits__tokens_per_minute=3000)  # a request reserves a context of 2048
    with served.http(headers=served.bearer("admin")) as http:
        assert http.get("/v1/models").json()["data"] == []  # an operator's key has no model
    with served.http(headers=served.bearer()) as http:
        for number in range(3):  # each uses 11: without the refund, the second is over
            answer = http.post(PATH, json=BODY)
            assert answer.status_code == 200, answer.text
            left = int(answer.headers["x-ratelimit-remaining-tokens"])
            assert 3000 - 2048 - 11 * number <= left <= 3000 - 2048
            rows = number + 1
            assert eventually(lambda rows=rows: len(served.usage()) == rows)  # type: ignore[misc]
        change_quotas(served.home.database, Scope("default"), {"tokens_per_day": 2060})
        assert http.post(PATH, json=BODY).status_code == 200
        assert eventually(lambda: len(served.usage()) == 4)
        change_quotas(served.home.database, Scope("default"), {"tokens_per_day": 100})
        refused = http.post(PATH, json=BODY)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "request_over_quota"
    assert refused.headers["x-should-retry"] == "false"
    assert refused.headers["x-ratelimit-limit-tokens"] == "3000"
    change_quotas(
        served.home.database, Scope("default"), {"context_tokens": 128, "tokens_per_day": 2070}
    )
    served.client().chat.completions.create(**BODY)  # type: ignore[call-overload]
    assert {one.context_tokens for one in served.launcher.started} == {128, 2048}


@pytest.mark.claim("LIM-01")
def test_an_operators_key_is_limited_like_any_other(served: Served) -> None:
    """The operator role lets nobody past a limit: neither of models nor of what is only asked."""
    grant_model(served.home.database, "admin", "tiny")
    with served.http(headers=served.bearer("admin")) as http:
        assert http.post(PATH, json=BODY).status_code == 200, "the control"
        change_quotas(served.home.database, Scope("admin"), {"requests_per_minute": 1})
        answers = [http.post(PATH, json=BODY) for _ in range(40)]
        asked = [http.get("/admin/v1/tenants") for _ in range(400)]
    refused = [one for one in answers if one.status_code == 429]
    assert refused
    assert {one.json()["error"]["code"] for one in refused} == {"rate_limit_exceeded"}
    assert 429 in {one.status_code for one in asked}


@pytest.mark.claim("LIM-06")
def test_limits_that_cannot_be_read_refuse(served: Served) -> None:
    client = served.client()
    client.chat.completions.create(model="tiny", messages=HELLO)
    engine = open_database(served.home.database)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE quotas RENAME COLUMN value TO gone")
        connection.exec_driver_sql("UPDATE revision SET value = value + 1")
    engine.dispose()
    for _ in range(2):
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="tiny", messages=HELLO)
        assert caught.value.code == "usage_unavailable"
