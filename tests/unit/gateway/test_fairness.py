"""All tenants before one engine's worth of places, through a whole gateway."""

from __future__ import annotations

import threading
from collections.abc import Callable

import openai
import pytest

from tests.unit.gateway.conftest import Served
from tests.unit.gateway.test_pipeline import FOREVER, HELLO, eventually


def queue(served: Served) -> dict[str, dict[str, int]]:
    with served.http(headers=served.bearer("admin")) as http:
        document = http.get("/admin/v1/queue").json()
    return {one["tenant"]: one for one in document["tenants"]}


@pytest.mark.claim("LIM-08")
def test_a_flooder_does_not_hold_up_another_tenant(start: Callable[..., Served]) -> None:
    served = start(engine__capacity=1)
    order: list[str] = []

    def ask(tenant: str, model: str, tokens: int) -> None:
        served.client(tenant).chat.completions.create(
            model=model, messages=FOREVER, max_tokens=tokens
        )
        order.append(tenant)

    flood = [threading.Thread(target=ask, args=("default", "slow", 8)) for _ in range(6)]
    for one in flood:
        one.start()
    assert eventually(lambda: queue(served).get("default", {}).get("waiting") == 5)
    shown = queue(served)["default"]
    assert (shown["running"], shown["position"]) == (1, 0)
    ask("acme", "tiny", 4)
    for one in flood:
        one.join()
    assert order.index("acme") <= 2
    assert eventually(lambda: queue(served) == {})


@pytest.mark.claim("LIM-08")
def test_only_the_operator_sees_who_waits(served: Served) -> None:
    with served.http() as http:
        assert http.get("/admin/v1/queue").status_code == 401
        tenant = http.get("/admin/v1/queue", headers=served.bearer())
    assert tenant.status_code == 403
    assert queue(served) == {}


def test_who_goes_away_while_it_waits_leaves_no_place_taken(start: Callable[..., Served]) -> None:
    served = start(engine__capacity=1)
    with served.client().chat.completions.create(model="slow", messages=FOREVER, stream=True):
        impatient = served.client("acme").with_options(timeout=0.5)
        with pytest.raises(openai.APITimeoutError):
            impatient.chat.completions.create(model="tiny", messages=HELLO)
        assert eventually(lambda: "acme" not in queue(served))
    served.client("acme").chat.completions.create(model="tiny", messages=HELLO)


@pytest.mark.claim("LIM-10")
def test_a_priority_is_one_of_two(served: Served) -> None:
    client = served.client()
    for good in ("interactive", "batch"):
        client.chat.completions.create(
            model="tiny", messages=HELLO, extra_headers={"x-corral-priority": good}
        )
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="tiny", messages=HELLO, extra_headers={"x-corral-priority": "urgent"}
        )
    assert caught.value.code == "invalid_parameter"


def test_a_full_queue_says_how_long_it_is(start: Callable[..., Served]) -> None:
    served = start(limits__concurrent_requests=1, limits__queued_requests=0)
    client = served.client()
    with (
        client.chat.completions.create(model="slow", messages=FOREVER, stream=True),
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.chat.completions.create(model="tiny", messages=HELLO)
    assert caught.value.code == "queue_full"
    assert caught.value.response.headers["x-corral-queue-position"] == "1"
    assert caught.value.response.headers["x-corral-queue-wait"].endswith("s")
