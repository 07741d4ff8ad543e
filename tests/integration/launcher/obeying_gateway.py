"""A program in the gateway's place that does what `/state/orders` says, one line for each start."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from pathlib import Path

from corral.control.client import LauncherClient
from corral.core.errors import CorralError
from corral.ipc.messages import (
    Done,
    Drain,
    GatewayAlive,
    GatewayReady,
    NextWorker,
    OpenSecret,
    Secret,
    StartEngine,
    WorkerStatus,
)

STATE = Path("/state")


def note(text: str) -> None:
    with (STATE / "notes").open("a") as notes:
        notes.write(text + "\n")


def take_order() -> str:
    orders = (STATE / "orders").read_text().splitlines()
    if len(orders) > 1:
        (STATE / "orders").write_text("\n".join(orders[1:]))
    return orders[0]


def ask_for_everything(client: LauncherClient, when: str) -> None:
    """Ask for what a gateway may and may not have, and note the answers."""
    for kind in ("pepper", "config", "tls_cert", "master.key", "receipt_key"):
        try:
            _, (fd,) = client.request(OpenSecret(kind), Secret)
            note(f"{when}{kind} {len(os.read(fd, 1 << 20)) > 0}")
        except CorralError as error:
            note(f"{when}{kind} {error.code}")
    for quarantined in (True, False):
        digest = "0" * 64
        try:
            client.start(StartEngine("t", "m", digest, quarantined, 512, 1, 1, 400 << 20))
        except CorralError as error:
            note(f"{when}quarantined={quarantined} {error.code}")
    try:
        client.request(GatewayAlive(), Done)
        note(f"{when}alive True")
    except CorralError as error:
        note(f"{when}alive {error.code}")


def look_around(client: LauncherClient) -> None:
    """Try what else a gateway may not."""
    status, _ = client.request(NextWorker(0), WorkerStatus)
    try:
        client.stop(status.worker_id)
    except CorralError as error:
        note(f"stop {status.kind} {error.code}")
    listener = socket.socket(fileno=3)
    note(f"listener {listener.getsockname()[0]}")
    try:
        socket.create_connection(listener.getsockname(), timeout=2)
    except OSError as error:
        note(f"connect {type(error).__name__}")


def wait_for_event(client: LauncherClient, channel: socket.socket) -> None:
    """Take one event if it comes in 0.3 s; the gateway's jail has neither select nor poll."""
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 300_000))
    with contextlib.suppress(BlockingIOError):
        client.events.append(client._receive()[0])
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))


def before_ready(order: str, client: LauncherClient, channel: socket.socket) -> None:
    if order == "exit":
        os._exit(3)
    if order == "silent":
        time.sleep(600)
    if order == "garbage":
        channel.send(b"\xff")
        time.sleep(600)
    if order == "look":
        ask_for_everything(client, "early: ")


def once_ready(order: str, client: LauncherClient) -> None:
    if order == "ready-exit":
        os._exit(3)
    if order == "hang":
        time.sleep(600)
    if order == "look":
        ask_for_everything(client, "")
        look_around(client)
    if order == "engine":
        digest = (STATE / "digest").read_text()
        started, _ = client.start(StartEngine("t", "m", digest, False, 512, 1, 1, 400 << 20))
        note(f"engine {started.worker_id}")


def main() -> None:
    order = take_order()
    note(f"start {order}")
    channel = socket.socket(fileno=4)
    client = LauncherClient(channel)
    before_ready(order, client, channel)
    client.request(GatewayReady(), Done)
    once_ready(order, client)
    note("ready")
    while True:
        while not client.events:
            client.request(GatewayAlive(), Done)
            wait_for_event(client, channel)
        event = client.events.popleft()
        note(repr(event))
        if isinstance(event, Drain) and order == "look":
            ask_for_everything(client, "late: ")
        if isinstance(event, Drain) and order != "stubborn":
            channel.close()
            if order == "slow-exit":
                time.sleep(600)
            os._exit(0)
