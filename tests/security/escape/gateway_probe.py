"""Runs in the gateway's place, in the gateway's jail; prints what it could do to the log."""

import errno
import json
import os
import socket

results: dict[str, str] = {}


def attempt(name: str, action) -> None:  # type: ignore[no-untyped-def]
    try:
        action()
        results[name] = "ok"
    except OSError as error:
        results[name] = errno.errorcode.get(error.errno or 0, "OSError")


def open_one(path: str, mode: str) -> None:
    with open(path, mode) as file:
        file.read(1) if "r" in mode else file.write("x")


def main() -> int:
    for family in range(1, 46):
        attempt(f"socket:{family}", lambda f=family: socket.socket(f, socket.SOCK_STREAM).close())
    attempt("connect", lambda: socket.create_connection(("127.0.0.1", 1), 1))
    attempt("fork", os.fork)
    attempt("exec", lambda: os.execv("/opt/python/bin/python3", ["python3", "-c", ""]))
    for path in (
        "/etc/passwd",
        "/etc/shadow",
        "/proc/kallsyms",
        "/proc/meminfo",
        "/store",
        "/work",
    ):
        attempt(f"read:{path}", lambda p=path: open_one(p, "r"))
    for path in ("/probe", "/opt/python/probe", "/etc/probe"):
        attempt(f"write:{path}", lambda p=path: open_one(p, "w"))
    attempt("write:state", lambda: open_one("/state/probe", "w"))
    attempt("write:tmp", lambda: open_one("/tmp/probe", "w"))
    listener = socket.socket(fileno=os.dup(3))
    facts = {
        "results": results,
        "listener_port": listener.getsockname()[1],
        "interfaces": [li.split(":")[0].strip() for li in open("/proc/self/net/dev") if ":" in li],
        "root": sorted(os.listdir("/")),
        "state": sorted(os.listdir("/state")),
        "store_visible": os.path.exists("/store"),
        "environment": dict(os.environ),
    }
    os.write(2, b"PROBE " + json.dumps(facts).encode() + b"\n")
    return 3
