"""Crowds of slow clients: who has a live key is served all the same. No time is asserted."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.core.ids import TenantName
from corral.gateway.exchange import Exchange, StalledClientError
from corral.gateway.room import Room, Visit
from corral.gateway.uploads import Stock, Uploads
from tests.support.server import wait_until
from tests.unit.gateway.conftest import Served
from tests.unit.gateway.test_http_guard import exchange, head, status
from tests.unit.gateway.test_metrics import page, samples

PLACES = 40
Start = Callable[..., Served]


@contextmanager
def crowd(served: Served, said: bytes, *, many: int, tls: bool = True) -> Iterator[None]:
    """Keep connections that have said the beginning of something."""
    port = int(served.url.rsplit(":", 1)[1])
    context = served.trust()
    with ExitStack() as stack:
        for _ in range(many):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            with suppress(OSError):  # whoever came before may have been sent away
                if tls:
                    raw = stack.enter_context(context.wrap_socket(raw, server_hostname="localhost"))
                raw.sendall(said)
        yield


def post_head(served: Served, tenant: str, length: int) -> bytes:
    return head(
        "Host: localhost", f"Content-Length: {length}",
        f"Authorization: {served.bearer(tenant)['authorization']}",
        method="POST", path="/v1/completions",
    )  # fmt: skip


def served_status(served: Served, tenant: str = "default") -> int:
    """Return the status of a whole request on a connection of its own; 0 if there is none."""
    try:
        with served.http(headers=served.bearer(tenant)) as http:
            return http.post("/v1/completions", json={"model": "tiny", "prompt": "x"}).status_code
    except httpx2.TransportError:
        return 0


def rejected(served: Served, reason: str) -> float:
    name = "corral_connections_rejected_total"
    return samples(page(served)).get((name, frozenset({("reason", reason)})), 0)


def sockets() -> int:
    """Return how many there are in this process, in which the gateway runs too."""
    names = []
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            names.append(os.readlink(one))
    return sum(name.startswith("socket:") for name in names)


CROWDS = [
    (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", True),
    (b"", True),
    (b"", False),
    (b"\x16\x03\x01\x02\x00\x01", False),
]


@pytest.mark.claim("SLOW-01")
def test_a_crowd_of_strangers_keeps_nobody_out(start: Start) -> None:
    """Slow headers, silence, and handshakes that never end, all of the good client's address."""
    served = start(clients__connections=PLACES, clients__connections_per_address=0)
    assert served_status(served) == 200
    before = sockets()
    with ExitStack() as stack:
        for said, tls in CROWDS:
            stack.enter_context(crowd(served, said, many=PLACES + 10, tls=tls))
            assert [served_status(served) for _ in range(3)] == [200, 200, 200]
        assert rejected(served, "connections") >= len(CROWDS) * 10
    assert wait_until(lambda: sockets() <= before)


@pytest.mark.claim("SLOW-01")
def test_without_the_order_of_going_the_same_crowd_does(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Room):
        def enter(self, address: str) -> Visit | str:
            return "connections" if len(self) >= PLACES else super().enter(address)

    monkeypatch.setattr("corral.gateway.main.Room", Full)
    served = start(clients__connections=PLACES, clients__connections_per_address=0)
    assert served_status(served) == 200
    with crowd(served, CROWDS[0][0], many=PLACES + 10):
        assert [served_status(served) for _ in range(3)] == [0, 0, 0]


@pytest.mark.claim("SLOW-02")
def test_a_tenant_takes_its_own_connections_only(start: Start) -> None:
    served = start(clients__connections_per_tenant=4, clients__body_timeout_s=60)
    slow = post_head(served, "acme", 1000) + b'{"mod'
    with crowd(served, slow, many=4):
        assert served_status(served, "acme") == 429
        assert served_status(served) == 200
        answer = exchange(served, post_head(served, "acme", 1000))
        assert status(answer) == 429
        assert b'"too_many_connections"' in answer
    # Idle connections make room: the control.
    with crowd(served, head("Host: localhost"), many=8):
        assert served_status(served, "acme") == 200


@pytest.mark.claim("SLOW-03")
def test_a_body_that_trickles_is_cut_off_before_its_deadline(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corral.gateway.http_guard._RATE_S", 0.5)
    served = start(clients__body_timeout_s=600)
    assert exchange(served, post_head(served, "acme", 1000) + b'{"mod') == b""
    assert rejected(served, "slow_upload") == 1
    # The control: a body that comes fast enough is waited for.
    asked = b'{"model":"tiny","prompt":"x"}'
    assert b'"text":"you said x"' in exchange(
        served, post_head(served, "acme", 1000) + asked.ljust(1000)
    )


@pytest.mark.claim("SLOW-03")
@pytest.mark.parametrize(("least_rate", "stalls"), [(1_000_000, True), (1, False), (0, False)])
def test_a_stream_that_is_read_too_slowly_ends(
    monkeypatch: pytest.MonkeyPatch, least_rate: int, stalls: bool
) -> None:
    monkeypatch.setattr("corral.gateway.exchange._SLOW_S", 0.02)

    async def send(_: object) -> None:
        await asyncio.sleep(0.03)

    async def read() -> bool:
        one = Exchange({}, None, send, least_rate=least_rate)  # type: ignore[arg-type]
        await one.start_stream()
        try:
            await one.write(b"x" * 100)
        except StalledClientError:
            return True
        return False

    assert asyncio.run(read()) is stalls


@pytest.mark.claim("SLOW-02")
def test_tenants_that_take_all_they_can_leave_places_for_bodies() -> None:
    uploads = Uploads(16 << 20).reading
    assert uploads.total == 16
    taken = []
    with ExitStack() as stack:
        for name in (TenantName(one) for one in ("acme", "bolt", "chem")):
            count = 0
            while not uploads.lacks(name):
                stack.enter_context(uploads.take(name))
                count += 1
            taken.append(count)
        assert taken == [5, 4, 2], "each may have half as many as are free"
        assert not uploads.lacks(TenantName("fourth"))
    assert not uploads.lacks(TenantName("acme"))


@pytest.mark.claim("SLOW-05")
@pytest.mark.parametrize("bounded", [True, False], ids=["bounded", "wide"])
def test_large_requests_of_one_tenant_do_not_fill_the_house(
    monkeypatch: pytest.MonkeyPatch, start: Start, bounded: bool
) -> None:
    if bounded:  # eight bodies instead of 64 MiB
        monkeypatch.setattr("corral.gateway.uploads._KEPT_BYTES", 0)
    served = start(limits__body_bytes=4096)
    large = {"messages": [{"role": "user", "content": "forever".ljust(3800)}], "stream": True}
    with ExitStack() as stack:
        http = stack.enter_context(served.http(timeout=60))

        def ask(tenant: str, model: str = "slow") -> int:
            asked = {**large, "model": model, "max_tokens": 400}
            headers = served.bearer(tenant)
            stream = http.stream("POST", "/v1/chat/completions", json=asked, headers=headers)
            return stack.enter_context(stream).status_code

        assert [ask("default") for _ in range(4)] == [200, 200, 200, 503 if bounded else 200]
        assert ask("acme", "tiny") == 200


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 100)), max_size=40),
)
def test_something_is_always_left_for_the_next_tenant(asks: list[tuple[str, int]]) -> None:
    """Whoever has taken whatever: six tenants with all that they can get leave one more body."""
    stock = Stock(100 << 6, 100)
    held = 0
    with ExitStack() as stack:
        for name, amount in asks:
            if not stock.lacks(TenantName(name), amount):
                stack.enter_context(stock.take(TenantName(name), amount))
                held += amount
        assert held <= stock.total
        assert not stock.lacks(TenantName("next"), 100)
    assert not stock.lacks(TenantName("next"), stock.total // 2)


DEEP = [
    b"[" * 1_000_000,
    b'{"model":' * 100_000,
    b'{"model":"tiny","prompt":' + b"[" * 500_000 + b"]" * 500_000 + b"}",
    b'{"model":"tiny","prompt":"x","metadata":' + b'{"a":' * 150_000 + b"1" + b"}" * 150_001,
    b'{"model":"tiny","prompt":"x","seed":' + b"9" * 900_000 + b"}",
    b'{"model":"tiny","prompt":"x","temperature":1e' + b"9" * 900_000 + b"}",
]


@pytest.mark.claim("SLOW-04")
def test_json_of_any_depth_is_refused_and_stops_nobody(served: Served) -> None:
    with served.http(headers=served.bearer()) as http:
        for body in DEEP:
            answer = http.post("/v1/completions", content=body)
            assert answer.status_code == 400, body[:40]
            assert answer.json()["error"]["code"] in {"invalid_json", "invalid_parameter"}
        shallow = {"model": "tiny", "prompt": "x", "metadata": {"a": "b"}}
        assert http.post("/v1/completions", json=shallow).status_code == 200
