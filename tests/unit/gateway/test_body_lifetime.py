"""A body is dropped once it is parsed: an answer takes minutes."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from tests.unit.gateway.conftest import Served

SIZE = 8 << 20


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start(1)
    yield
    tracemalloc.stop()


@pytest.mark.claim("SAN-07")
def test_a_body_is_gone_while_its_answer_is_streamed(
    start: Callable[..., Served], traced: None
) -> None:
    served = start(limits__body_bytes=2 * SIZE)
    message = {"role": "user", "content": "go on forever"}
    body = json.dumps({"model": "slow", "stream": True, "max_tokens": 400, "messages": [message]})
    # White space between values is nothing that anybody needs after the parser.
    padded = body[:-1].encode() + b" " * SIZE + b"}"
    with served.http(headers=served.bearer()) as http:
        http.get("/v1/models")
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        with http.stream("POST", "/v1/chat/completions", content=padded) as answer:
            assert answer.status_code == 200
            lines = answer.iter_lines()
            for _ in range(8):
                next(lines)
            gc.collect()
            during, peak = tracemalloc.get_traced_memory()
            assert peak - before > SIZE, "the control: it was there"
            assert during - before < SIZE // 4
