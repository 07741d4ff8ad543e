"""The live gateway faces the network and can connect to nothing; its jail: `test_jails.py`."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


@pytest.mark.claim("NET-01")
def test_live_gateway_accepts_although_its_network_is_empty(shared_server):
    """Control on the live process: the host reaches it; from its own namespace nothing is there."""
    import psutil

    children = psutil.Process(shared_server.pid).children(recursive=True)
    gateway = next(p for p in children if "corral-gateway" in " ".join(p.cmdline()))
    assert os.readlink(f"/proc/{gateway.pid}/ns/net") != os.readlink("/proc/self/ns/net")
    assert shared_server.http().get("/healthz").status_code == 200
    port = shared_server.url.rpartition(":")[2]
    program = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
    python = shutil.which("python3", path="/usr/bin") or "python3"
    outside = subprocess.run([python, "-c", program], capture_output=True, check=False)
    inside = subprocess.run(
        ["nsenter", "-t", str(gateway.pid), "-n", python, "-c", program],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outside.returncode == 0
    assert inside.returncode != 0  # its own, empty loopback answers nobody
    assert "refused" in inside.stderr or "unreachable" in inside.stderr
