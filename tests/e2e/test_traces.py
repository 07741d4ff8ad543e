"""Traces in the gateway's real jail: what it may write, as whom, and what the engine counted."""

from __future__ import annotations

import stat

import pytest

from corral.core.home import Home
from corral.telemetry.trace_files import read_traces, trace_file
from tests.support.canaries import marks_in, new_canaries
from tests.support.otlp import read_tree
from tests.support.server import MODEL, RunningServer, corral, wait_until


@pytest.mark.claim("OBS-03")
def test_a_chat_leaves_its_trace_in_the_jail(shared_server: RunningServer) -> None:
    home, (mark,) = Home(shared_server.home), new_canaries(1)
    client = shared_server.openai()
    answer = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": mark}], max_tokens=4, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    asked = answer.headers["x-request-id"].encode()
    (usage,) = [chunk.usage for chunk in answer.parse() if chunk.usage]

    def ours() -> list[bytes]:
        return [line for line in read_traces(home.state) if asked in line]

    assert wait_until(lambda: bool(ours()))
    (line,) = ours()
    tree = read_tree(line)
    assert list(tree.parts) == ["receive", "admit", "lease", "prepare", "worker", "engine"]
    assert tree.parts["engine"].name == f"chat {MODEL}"
    said = tree.said("engine")
    assert said["gen_ai.usage.input_tokens"] == usage.prompt_tokens > 0
    assert said["gen_ai.usage.output_tokens"] == usage.completion_tokens > 0
    assert [event.name for event in tree.parts["engine"].events] == ["first_token"]
    assert marks_in(b"\n".join(read_traces(home.state))) == set()

    file, beside = trace_file(home.state, 1).stat(), home.database.stat()
    assert stat.S_IMODE(file.st_mode) == 0o600
    assert (file.st_uid, file.st_gid) == (beside.st_uid, beside.st_gid)
    assert asked.decode() in corral(shared_server.home, "traces", "tail").stdout
    assert asked in corral(shared_server.home, "traces", "export").stdout.encode()
    assert "traces_not_written" not in shared_server.log()
