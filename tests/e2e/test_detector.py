"""A server with a detector: a real engine, a real jail, and an answer only to what is calm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.server import MODEL, copy_home, start_server, wait_until
from tests.support.tiny_detector import make_detector


@pytest.mark.slow
@pytest.mark.claim("DET-09")
def test_an_attack_in_a_document_never_reaches_the_engine(
    model_home: Path, tmp_path: Path, needs_root: None
) -> None:
    home = copy_home(model_home, tmp_path / "home")
    make_detector(home / "detector")
    server = start_server(home)
    try:
        with server.http() as http:
            assert wait_until(lambda: http.get("/healthz").json()["detector"] == "ready")

            def ask(text: str) -> Any:
                part = {"type": "text", "text": text, "untrusted": True}
                return http.post(
                    "/v1/chat/completions", timeout=120,
                    json={"model": MODEL, "max_tokens": 4,
                          "messages": [{"role": "user", "content": [part]}]},
                )  # fmt: skip

            refused = ask("hello attack")
            assert refused.status_code == 400, refused.text
            assert refused.json()["error"]["code"] == "input_rejected.untrusted_injection_detected"
            assert server.workers() == [], "no engine was asked"
            assert ask("hello world").status_code == 200, "the control"
            assert len(server.workers()) == 1
    finally:
        server.stop()
