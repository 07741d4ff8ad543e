"""The genuine worker, turned hostile by a word in a prompt: `ATTACK:<name>`.

Standard library and corral only: it runs in the engine image, in the worker's place.
"""

import os
import time
from contextlib import suppress

from corral.engine import genuine
from corral.engine.worker_wire import chunk, encode_lines, end

GARBAGE = os.urandom(512) + b"\n"  # made now: a sealed worker gets no random numbers


def write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def say(message: dict) -> None:
    write_all(encode_lines([message]))


def garbage(_: int) -> None:
    for _round in range(1000):
        write_all(GARBAGE)


def endless_line(_: int) -> None:
    block = b"x" * 65536
    for _round in range(10 * 1024 * 1024 * 1024 // len(block)):  # 10 GiB
        write_all(block)


def endless_frames(request_id: int) -> None:
    line = encode_lines([chunk(request_id, "x" * 100, [])])
    while True:
        write_all(line * 100)


def wrong_ids(_: int) -> None:
    say(chunk(987654321, "stolen", []))


def foreign_end(request_id: int) -> None:
    say(end(request_id + 1, "stop", 1, 1, 0))


def after_end(request_id: int) -> None:
    # In one write: read alone, the end would be a good one.
    write_all(encode_lines([end(request_id, "stop", 1, 0, 0), chunk(request_id, "more", [])]))


def huge_usage(request_id: int) -> None:
    say(end(request_id, "stop", 1 << 40, 1 << 40, 0))


def leave(_: int) -> None:
    os._exit(7)


def half_line(_: int) -> None:
    write_all(b'{"ev":"c","id":1,"te')
    os._exit(0)


def silence(_: int) -> None:
    time.sleep(3600)


def close_stdout(_: int) -> None:
    with suppress(PermissionError):  # a sealed worker cannot even close a descriptor
        os.close(1)
    time.sleep(3600)


def eat_memory(_: int) -> None:
    hoard = []
    while True:
        hoard.append(bytearray(16 << 20))
        for offset in range(0, 16 << 20, 4096):
            hoard[-1][offset] = 1


def eat_cpu(_: int) -> None:
    for _tenth in range(36_000):  # threads cannot be made any more: this one spins
        sum(range(1_000_000))


def flood_stderr(_: int) -> None:
    while True:
        os.write(2, b"e" * 65536)


ATTACKS = {f.__name__: f for f in (
    garbage, endless_line, endless_frames, wrong_ids, foreign_end, after_end, huge_usage, leave,
    half_line, silence, close_stdout, eat_memory, eat_cpu, flood_stderr,
)}  # fmt: skip


class HostileWorker(genuine.Worker):
    """Attacks when the prompt says so."""

    def take(self, message):  # type: ignore[no-untyped-def]
        for said in getattr(message, "messages", None) or ():
            if said["content"].startswith("ATTACK:"):
                ATTACKS[said["content"].removeprefix("ATTACK:")](message.id)
        super().take(message)


def main() -> None:
    genuine.Worker = HostileWorker  # type: ignore[misc]
    genuine.main()
