"""The shipped units under a real systemd, and systemd's own socket activation."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corral.service.layout import Layout
from tests.support.own_user import UID, check_system_python, copy_state, install_program
from tests.support.server import CORRAL, MODEL, degraded_options, wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CGROUPS = Path("/sys/fs/cgroup")
SECONDS = 120
TARGET = """[Unit]
DefaultDependencies=no
Wants=corral.socket probe.service
"""
PROBE = """[Unit]
DefaultDependencies=no
After=corral.socket
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /run/test/probe.py https://127.0.0.1:8443 {key} {model} /run/test/result
"""
DROP_IN = """# An operator's own: systemd gives a user no controllers of version 1, root does.
[Unit]
DefaultDependencies=no
[Service]
ReadWritePaths=/sys/fs/cgroup/cpu
StandardOutput=append:/run/test/output
StandardError=append:/run/test/output
ExecStartPre=+/bin/sh -c 'for c in memory pids; do chown {uid} /sys/fs/cgroup/$c/system.slice/\
corral.service /sys/fs/cgroup/$c/system.slice/corral.service/cgroup.procs; done'
"""


@pytest.fixture
def place(needs_root: None) -> Iterator[Path]:
    check_system_python()
    if not (CGROUPS / "memory").is_dir() or not shutil.which("/lib/systemd/systemd"):
        pytest.skip("needs systemd, and control groups of version 1, which can be given away")
    made = Path("/tmp") / f"corral-service-{os.getpid()}"
    made.mkdir(mode=0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def write_units(place: Path, key: str) -> None:
    layout = Layout.choose(
        personal=False, root=place, program=Path("/opt/corral/bin/corral"), listen="127.0.0.1:8443"
    )
    units = place / "units"
    (units / "corral.service.d").mkdir(parents=True)
    (units / "corral.socket.d").mkdir()
    for path, text in layout.files().items():
        (units / path.name).write_text(text)
    (units / "corral.service.d" / "test.conf").write_text(DROP_IN.format(uid=UID))
    (units / "corral.socket.d" / "test.conf").write_text("[Unit]\nDefaultDependencies=no\n")
    (units / "test.target").write_text(TARGET)
    (units / "probe.service").write_text(PROBE.format(key=key, model=MODEL))


def boot(place: Path) -> dict[str, Any]:
    """Boot systemd in namespaces of its own until the probe has reported."""
    wanted = ("cpu", "memory", "pids", "devices", "freezer", "systemd")
    groups = [CGROUPS / name / place.name for name in wanted if (CGROUPS / name).is_dir()]

    def enter() -> None:
        for group in groups:
            (group / "cgroup.procs").write_text("0")

    for group in groups:
        group.mkdir()
    log = (place / "log").open("wb")
    process = subprocess.Popen(
        ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--cgroup", "--uts", "--ipc",
         "--net", "bash", str(ROOT / "tests/support/systemd_boot.sh"), str(place), str(UID)],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        preexec_fn=enter,  # noqa: PLW1509 - one thread
    )  # fmt: skip
    try:
        wait_until(lambda: (place / "result").exists() or process.poll() is not None,
                   seconds=SECONDS, step=0.2)  # fmt: skip
    finally:
        process.kill()
        process.wait()
        log.close()
        for group in groups:
            below = sorted((p for p in group.glob("**/") if p != group), reverse=True)
            wait_until(lambda group=group, below=below: remove(group, below))
    said = (place / "log").read_text(errors="replace")
    said += (place / "output").read_text() if (place / "output").exists() else ""
    assert (place / "result").exists(), said[-3000:]
    found: dict[str, Any] = json.loads((place / "result").read_text())
    assert "problem" not in found, (found, said[-3000:])
    return found


def remove(group: Path, below: list[Path]) -> bool:
    try:
        for path in (*below, group):
            if path.exists():
                path.rmdir()
    except OSError:
        return False
    return True


@pytest.mark.claim("SVC-06")
def test_the_shipped_units_serve_a_chat(place: Path, model_home: Path) -> None:
    program = install_program(place)
    text = program.read_text().replace(f"{place}/venv", "/opt/corral")
    program.write_text(text)
    copy_state(model_home, place / "home")
    (place / "home").chmod(0o700)
    shutil.copy2(ROOT / "tests/support/service_probe.py", place / "probe.py")
    api_key, _ = json.loads((model_home / "test-keys.json").read_text())
    write_units(place, api_key)
    found = boot(place)
    assert found["before"]["ActiveState"] in {"inactive", "activating"}, "started by the connection"
    assert found["answer"]
    assert found["after"]["ActiveState"] == "active"
    assert found["after"]["NRestarts"] == "0"
    monitor = found["monitor"]
    assert (monitor["Uid"], monitor["CapEff"], monitor["CapBnd"]) == (str(UID), "0" * 16, "0" * 16)
    assert (monitor["NoNewPrivs"], monitor["Seccomp"]) == ("1", "2")
    assert monitor["interfaces"] == ["lo"]
    assert found["limits"]
    assert all(limit < 4 << 30 for limit in found["limits"])
    assert found["stop"] == 0
    assert found["stopped"]["ActiveState"] == "inactive"


@pytest.mark.claim("SVC-03")
def test_it_serves_on_the_socket_of_systemd(home: Path) -> None:
    activator = shutil.which("systemd-socket-activate")
    if not activator:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have systemd-socket-activate")
        pytest.skip("needs systemd-socket-activate")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    ready = home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(ready))
        manager.settimeout(90)
        process = subprocess.Popen(
            [activator, f"--listen=127.0.0.1:{port}", f"--setenv=NOTIFY_SOCKET={ready}",
             str(CORRAL), "up", "--home", str(home), "--port", "1", "--print-json",
             *degraded_options()],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            assert wait_until(lambda: listens(port))
            with socket.create_connection(("127.0.0.1", port)):
                assert manager.recv(100) == b"READY=1"
            assert process.stdout is not None
            document = json.loads(process.stdout.readline())
            assert document["url"] == f"https://127.0.0.1:{port}"
            assert document["pid"] == process.pid
        finally:
            process.terminate()
            assert process.wait(30) == 0
            assert process.stdout is not None
            process.stdout.close()


def listens(port: int) -> bool:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(f":{port:04X}" in line.split()[1] and line.split()[3] == "0A" for line in lines)


@pytest.mark.claim("SVC-07")
def test_the_first_keys_are_left_in_a_file_and_not_in_the_log(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    process = subprocess.Popen(
        [str(CORRAL), "up", "--home", str(tmp_path / "home"), "--port", "0", "--print-json",
         "--first-keys", str(keys), *degraded_options()],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    first = process.stdout.readline()
    process.terminate()
    out, err = process.communicate(timeout=30)
    kept = json.loads(keys.read_text())
    assert keys.stat().st_mode & 0o777 == 0o600
    assert kept["api_key"].startswith("sk-corral-")
    assert "sk-corral-" not in first + out + err
