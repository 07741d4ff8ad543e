"""Images and sounds in their jail: decoded by each runtime; a decoder that dies costs one file."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from corral.core.errors import CorralError
from corral.core.limits import MEDIA_JAILS
from corral.ipc.messages import StartMedia
from corral.media.asking import ask_media
from corral.media.formats import IMAGES
from corral.media.wire import Broken, Decoded, Refused, Task, encode_task
from tests.support.measured_launcher import StartedLauncher
from tests.support.media_files import gif_of, image_file, sound_file


def task(format_, data: bytes, pixels: int = 25_000_000) -> Task:
    return Task(format_, len(data), pixels, 512, 60)


@pytest.mark.claim("MEDIA-01")
@pytest.mark.parametrize("runtime", ["crun", "runc", "runsc"])
def test_files_are_decoded(
    runtime: str, needs_runtime: Callable[[str], None], launch: Callable[..., StartedLauncher]
) -> None:
    needs_runtime(runtime)
    client = launch({"sandbox.runtime": runtime}).client
    for format_ in ("jpeg", "webp", "flac"):
        data = image_file(format_) if format_ in IMAGES else sound_file(format_)
        outcome, ended = ask_media(client, task(format_, data), data)
        assert (type(outcome), ended) == (Decoded, "ok"), format_
    cut = image_file("jpeg")[:-20]
    assert ask_media(client, task("jpeg", cut), cut).outcome == Refused("media_malformed")


@pytest.mark.claim("MEDIA-13")
def test_a_channel_has_so_many_jails(launch: Callable[..., StartedLauncher]) -> None:
    client = launch().client
    held = [client.start(StartMedia()) for _ in range(MEDIA_JAILS)]
    with pytest.raises(CorralError) as refused:
        client.start(StartMedia())
    assert refused.value.code == "media_busy"
    assert len({started.worker_id for started, _ in held}) == MEDIA_JAILS


@pytest.mark.claim("MEDIA-14")
def test_a_decoder_that_dies_costs_one_file(launch: Callable[..., StartedLauncher]) -> None:
    client = launch().client
    started, (stdin, stdout, _) = client.start(StartMedia())
    data = image_file("png")
    os.write(stdin, encode_task(task("png", data)) + data[:20])
    os.kill(started.pid, signal.SIGKILL)  # the kernel does so where memory has run out
    assert os.read(stdout, 100) == b""
    assert client.wait_ended(started.worker_id).status == "signaled"
    assert isinstance(ask_media(client, task("png", data), data).outcome, Decoded)


@pytest.mark.claim("MEDIA-11")
def test_a_bomb_ends_at_its_limit(launch: Callable[..., StartedLauncher]) -> None:
    client = launch().client
    for data, kind in ((gif_of(2000), "gif"), (image_file("png"), "png")):
        assert isinstance(ask_media(client, task(kind, data), data).outcome, Decoded)
    data = sound_file("flac", seconds=61, rate=8000, channels=1)
    assert ask_media(client, task("flac", data), data).outcome == Refused("media_too_large")
    # One that breaks off in the middle of what it has to send.
    short = Task("png", 100, 1000, 16, 1)
    assert isinstance(ask_media(client, short, image_file("png")[:50]).outcome, Broken)
