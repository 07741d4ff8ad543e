"""Launcher messages: a frame raises `IpcError`, is no message, or encodes to the same bytes."""

from __future__ import annotations

from corral.core.errors import IpcError
from corral.ipc.messages import (
    Refused,
    StartEngine,
    StopWorker,
    WorkerStatus,
    decode_message,
    encode_message,
)
from fuzz.target import Target


def check(data: bytes) -> None:
    """Decode and encode again."""
    try:
        decoded = decode_message(data)
    except IpcError:
        return
    if decoded is not None and encode_message(*decoded) != data:
        raise AssertionError("another frame means the same")


TARGET = Target(
    "framing",
    check,
    (
        encode_message(StartEngine("default", "m", "0" * 64, False, 2048, 4, 2, 1 << 30), 1),
        encode_message(StopWorker(7), 2),
        encode_message(Refused("model_missing", "there is none", "pull it"), 3),
        encode_message(WorkerStatus(1, "scan", "", "", "", 9, "crun", "namespaces", 1, 2), 4),
    ),
)
