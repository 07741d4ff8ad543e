"""A guard model in real jails: a derived model that says each word again is guard enough."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.server import MODEL, copy_home, corral, start_server

PARROT = (
    "{% for word in ['blue', 'red', 'red', 'blue', 'blue', 'red'] %}"
    "{{ '<|im_start|>user\n' + word + '<|im_end|>\n<|im_start|>assistant\n' + word"
    " + '<|im_end|>\n' }}{% endfor %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
POLICY = """
default = "guarded"
[policies.guarded]
base = "balanced"
options = { guard_model = "parrot", guard_safe = "blue", guard_unsafe = "red" }
"""


@pytest.mark.slow
@pytest.mark.claim("DET-12")
def test_what_the_guard_model_calls_unsafe_reaches_no_other(
    model_home: Path, tmp_path: Path, needs_root: None
) -> None:
    home = copy_home(model_home, tmp_path / "home")
    (tmp_path / "parrot.jinja").write_text(PARROT)
    (tmp_path / "policy.toml").write_text(POLICY)
    template = str(tmp_path / "parrot.jinja")
    corral(home, "derive", MODEL, "--as", "parrot", "--chat-template", template, "--json")
    server = start_server(home)
    try:
        with server.http() as http:

            def ask(text: str) -> tuple[int, str]:
                body = {
                    "model": MODEL, "max_tokens": 4,
                    "messages": [{"role": "user", "content": text}],
                }  # fmt: skip
                answer = http.post("/v1/chat/completions", json=body, timeout=120)
                return answer.status_code, json.loads(answer.text).get("error", {}).get("code", "")

            assert ask("red") == (200, ""), "the control: nobody asks it"
            corral(home, "sanitation", "set", str(tmp_path / "policy.toml"))
            assert ask("red") == (400, "input_rejected.guard_model_unsafe")
            assert ask("blue") == (200, "")
            assert ask("green") == (503, "guard_model_unavailable"), "it says neither word"
        assert {one["model"] for one in server.workers()} == {MODEL, "parrot"}
    finally:
        server.stop()
