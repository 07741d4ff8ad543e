"""The gateway faces the network, so it may connect nowhere and see nothing but its state folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.server import CORRAL, copy_home

PROGRAM = Path(__file__).with_name("gateway_probe.py")
DENIED = {"EPERM", "EACCES", "ENOENT", "EROFS", "ENETUNREACH"}


@pytest.fixture(scope="module")
def facts(model_home, tmp_path_factory) -> dict:
    home = copy_home(model_home, tmp_path_factory.mktemp("gateway") / "home")
    package = next(
        home.glob("images/gateway-*/rootfs/opt/python/lib/python3*/site-packages/corral")
    )
    for cached in (package / "gateway" / "__pycache__").glob("main.*"):
        cached.unlink()
    (package / "gateway" / "main.py").unlink()
    shutil.copyfile(PROGRAM, package / "gateway" / "main.py")
    done = subprocess.run(
        [str(CORRAL), "up", "--home", str(home), "--port", "0", "--print-json"],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "gateway_failed"
    log = (home / "log" / "corral.log").read_text()
    line = next(li for li in log.splitlines() if li.startswith("PROBE "))
    return json.loads(line.removeprefix("PROBE "))


@pytest.mark.claim("NET-01")
def test_gateway_can_make_no_socket_and_sees_only_loopback(facts):
    made = {n for n, r in facts["results"].items() if n.startswith("socket:") and r == "ok"}
    assert made == set()
    assert facts["results"]["connect"] in DENIED
    assert facts["interfaces"] == ["lo"]
    assert facts["listener_port"] > 0  # yet it holds the server's listening socket


@pytest.mark.claim("NET-02")
def test_gateway_starts_no_process_and_sees_no_host_file(facts):
    results = facts["results"]
    assert results["fork"] in DENIED
    assert results["exec"] in DENIED
    assert {
        n for n, r in results.items() if n.startswith(("read:", "write:/")) and r == "ok"
    } == set()
    assert results["write:state"] == "ok"  # control: the probe can write where it may
    assert facts["store_visible"] is False
    assert facts["environment"] == {}


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
