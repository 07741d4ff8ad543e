"""SIGTERM in the middle of a real answer: it completes, and then nothing is left."""

from __future__ import annotations

import signal

from tests.support.server import MODEL, leftovers_of

ANSWER_TOKENS = 48


def test_an_answer_under_way_completes_and_the_server_ends_with_code_0(home, server_factory):
    server = server_factory()
    client = server.openai()
    text: list[str] = []
    before: list[str] = []
    finish, tokens = None, 0
    with client.chat.completions.create(
        model=MODEL, stream=True, max_tokens=ANSWER_TOKENS, temperature=0, seed=1,
        stream_options={"include_usage": True},
        messages=[{"role": "user", "content": "Tell a long story about a lighthouse."}],
    ) as stream:  # fmt: skip
        for part in stream:
            if part.usage:
                tokens = part.usage.completion_tokens
            for choice in part.choices:
                text.append(choice.delta.content or "")
                finish = choice.finish_reason or finish
            if "".join(text) and not before:
                before = list(text)
                server.process.send_signal(signal.SIGTERM)
    assert finish in ("length", "stop")
    assert tokens > len(before)  # most of the answer came after the signal
    assert len("".join(text)) > len("".join(before))
    assert server.process.wait(60) == 0
    assert '"event": "server_draining"' in server.log()
    assert server.stop() == 0
    assert leftovers_of(home) == {"processes": [], "cgroups": [], "mounts": []}
