"""The life of a server's launcher, with a gateway that obeys orders."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import corral
from corral.control.client import LauncherClient
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.ipc.messages import (
    OPERATOR_STOP,
    Done,
    GatewayReady,
    StartScan,
    WorkerEnded,
    WorkerStatus,
)
from corral.sandbox.image import Installation, build_image
from tests.support import measured_launcher
from tests.support.children import in_child
from tests.support.measured_launcher import (
    StartedServer,
    alive,
    groups_of,
    start_serve,
    until,
)
from tests.support.server import copy_home

GATEWAY = Path(__file__).with_name("obeying_gateway.py")


@pytest.fixture(scope="module")
def serving_home(obeying_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = Home(copy_home(obeying_home, tmp_path_factory.mktemp("serving") / "home"))
    installed = Installation(Path(sysconfig.get_path("purelib")), Path(corral.__file__).parent)
    image = build_image("gateway", home.images, installed)
    package = next(image.glob("opt/python/lib/*/site-packages/corral/gateway"))
    for cached in (package / "__pycache__").glob("main.*"):
        cached.unlink()
    shutil.copyfile(GATEWAY, package / "main.py")
    # It speaks with the launcher as an operator's command does; the real one has no such client.
    shutil.copytree(Path(corral.__file__).parent / "control", package.parent / "control")
    return home.root


@pytest.fixture
def server_home(serving_home: Path, tmp_path: Path, needs_root: None) -> Home:
    home = Home(copy_home(serving_home, tmp_path / "home"))
    for folder in (home.blobs, home.secrets, home.state):
        folder.mkdir(parents=True)
    home.pepper.write_bytes(b"p" * 32)
    home.server_cert.parent.mkdir(parents=True, exist_ok=True)
    home.server_cert.write_text("certificate")
    return home


@pytest.fixture
def serve(server_home: Home) -> Iterator[Callable[..., StartedServer]]:
    """Start a server whose gateway gets these orders, one for each of its starts."""
    started: list[StartedServer] = []

    def start(*orders: str, listener: int = -1, **settings: object) -> StartedServer:
        (server_home.state / "orders").write_text("\n".join(orders))
        started.append(start_serve(server_home, {"listen.port": 0, **settings}, listener))
        return started[-1]

    yield start
    for one in started:
        one.end()


Serve = Callable[..., StartedServer]


def notes(home: Home) -> list[str]:
    try:
        return (home.state / "notes").read_text().splitlines()
    except OSError:
        return []


def operator(home: Home) -> LauncherClient:
    return LauncherClient.connect(home.control_socket)


def gateways_of(home: Home) -> list[WorkerStatus]:
    with closing(operator(home)) as client:
        return list(client.workers())


def gateway_of(home: Home) -> WorkerStatus:
    return gateways_of(home)[0]


def test_it_serves_until_it_is_told_to_end(serve: Serve, server_home: Home) -> None:
    server = serve("ready")
    assert server.report["host"] == "127.0.0.1"
    with socket.create_connection((server.report["host"], server.report["port"])):
        pass
    client = operator(server_home)
    (gateway,) = client.workers()
    assert gateway.kind == "gateway"
    assert until(lambda: "ready" in notes(server_home))
    assert server.end() == 0
    client.close()
    assert notes(server_home) == ["start ready", "ready", "Drain(deadline_s=10)"]
    assert not alive(gateway.pid)
    assert not groups_of(server_home)
    assert not server_home.control_socket.exists()


def test_it_serves_on_a_listener_that_it_inherits(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = serve("ready", listener=listener.fileno())
        assert server.report["port"] == listener.getsockname()[1]
        assert server.end() == 0


@pytest.mark.claim("LCH-01")
def test_what_a_gateway_may_ask_and_when(serve: Serve, server_home: Home) -> None:
    server = serve("look")
    assert until(lambda: "ready" in notes(server_home))
    assert notes(server_home)[1:-1] == [
        "early: pepper True",
        "early: config True",
        "early: tls_cert True",
        "early: master.key True",
        "early: receipt_key not_permitted",
        "early: quarantined=True not_permitted",
        "early: quarantined=False not_permitted",
        "early: alive not_permitted",
        "pepper not_permitted",
        "config not_permitted",
        "tls_cert True",
        "master.key not_permitted",
        "receipt_key not_permitted",
        "quarantined=True not_permitted",
        "quarantined=False model_missing",
        "alive True",
        "stop gateway no_such_worker",
        "listener 127.0.0.1",
        "connect PermissionError",
    ]
    assert server.end() == 0
    assert notes(server_home)[-9:] == [
        "Drain(deadline_s=10)",
        "late: pepper not_permitted",
        "late: config not_permitted",
        "late: tls_cert True",
        "late: master.key not_permitted",
        "late: receipt_key not_permitted",
        "late: quarantined=True draining",
        "late: quarantined=False draining",
        "late: alive True",
    ]


def test_what_an_operator_may_ask(serve: Serve, server_home: Home) -> None:
    content = b"echo"
    digest = hashlib.sha256(content).hexdigest()
    server_home.blob(digest).write_bytes(content)  # type: ignore[arg-type]
    server_home.blob(digest).chmod(0o444)  # type: ignore[arg-type]
    (server_home.state / "digest").write_text(digest)
    serve("engine")
    assert until(lambda: "ready" in notes(server_home))
    client = operator(server_home)
    gateway, engine = client.workers()
    assert (gateway.kind, engine.kind) == ("gateway", "engine")
    for attempt in (
        lambda: client.start(StartScan("a")),
        lambda: client.request(GatewayReady(), Done),
        lambda: client.stop(gateway.worker_id),
    ):
        with pytest.raises(CorralError) as caught:
            attempt()  # type: ignore[no-untyped-call]
        assert caught.value.code in {"not_permitted", "no_such_worker"}
    client.stop(engine.worker_id)
    assert not alive(engine.pid)
    client.close()
    event = repr(WorkerEnded(engine.worker_id, "killed", OPERATOR_STOP))
    assert until(lambda: event in notes(server_home))


def test_certificates_are_read_again_on_request(serve: Serve, server_home: Home) -> None:
    server = serve("ready")
    assert until(lambda: "ready" in notes(server_home))
    server.monitor.send_signal(signal.SIGHUP)
    assert until(lambda: "Reload()" in notes(server_home))


@pytest.mark.claim("BLS-09")
def test_a_gateway_that_ends_is_started_again(serve: Serve, server_home: Home) -> None:
    server = serve("ready-exit", "ready-exit", "ready")
    assert until(lambda: notes(server_home)[-1:] == ["ready"])
    assert notes(server_home) == ["start ready-exit", "start ready-exit", "start ready", "ready"]
    assert server.end() == 0


def test_a_gateway_that_breaks_the_protocol_is_replaced(serve: Serve, server_home: Home) -> None:
    server = serve("garbage", "ready")
    assert server.report["error"]["code"] == "gateway_failed"
    assert server.monitor.wait(30) == 1


def test_a_gateway_that_does_not_come_up(serve: Serve, server_home: Home) -> None:
    server = serve("exit")
    error = server.report["error"]
    assert (error["code"], error["remedy"]) == ("gateway_failed", "see: corral logs")
    assert server.monitor.wait(30) == 1
    assert not groups_of(server_home)


@pytest.mark.claim("BLS-09")
def test_a_gateway_that_serves_in_between_is_never_given_up(
    serve: Serve, server_home: Home
) -> None:
    server = serve(*["ready-exit"] * 7, "ready")
    assert until(lambda: notes(server_home)[-1:] == ["ready"], seconds=120)
    assert notes(server_home) == [*["start ready-exit"] * 7, "start ready", "ready"]
    assert server.end() == 0


@pytest.mark.claim("BLS-09")
def test_a_gateway_that_does_not_come_up_again(serve: Serve, server_home: Home) -> None:
    server = serve("ready-exit", "exit")
    assert "port" in server.report
    assert server.monitor.wait(60) == 1
    assert notes(server_home) == ["start ready-exit", *["start exit"] * 5]


def test_a_server_ends_while_its_gateway_waits_for_its_restart(
    serve: Serve, server_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_launcher(monkeypatch, "s._DELAY_S = s._DELAY_MAX_S = 600")
    server = serve("ready-exit", "exit")
    assert until(lambda: not gateways_of(server_home))
    assert server.end() == 0
    assert notes(server_home) == ["start ready-exit"]


@pytest.mark.claim("BLAST-07")
def test_a_stopped_launcher_ends_with_all_it_started(serve: Serve, server_home: Home) -> None:
    server = serve("ready")
    monitor = server.monitor.pid
    (launcher,) = Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()
    members = measured_launcher.members_of(server_home) | {int(launcher)}
    os.kill(int(launcher), signal.SIGSTOP)
    assert server.monitor.wait(10) == 9
    assert until(lambda: not any(map(alive, members)))
    assert "port" in serve("ready").report


def change_launcher(monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """Have a launcher run a statement first; `s` is its module `serve`."""
    production = measured_launcher.serve_command

    def changed(*arguments: object) -> list[str]:
        argv = production(*arguments)  # type: ignore[arg-type]
        at = argv.index("-c") + 1
        argv[at] = argv[at].replace(
            "main(sys", f"import corral.launcher.serve as s; {statement}; main(sys"
        )
        return argv

    monkeypatch.setattr(measured_launcher, "serve_command", changed)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a launcher's patience with its gateway a few seconds: more than a busy machine takes."""
    change_launcher(monkeypatch, "s._READY_SECONDS = 6; s._ALIVE_SECONDS = 4")


def test_a_gateway_that_says_nothing(serve: Serve, hurried: None) -> None:
    server = serve("silent")
    assert server.report["error"]["code"] == "gateway_silent"
    assert server.monitor.wait(30) == 1


@pytest.mark.claim("BLAST-02")
def test_a_hung_gateway_is_replaced_and_so_is_one_that_does_not_come_up_again(
    serve: Serve, server_home: Home, hurried: None
) -> None:
    server = serve("hang", "silent", "ready")
    assert until(lambda: "ready" in notes(server_home))
    assert notes(server_home) == ["start hang", "start silent", "start ready", "ready"]
    assert not until(lambda: notes(server_home)[-1] != "ready", seconds=6), "it says it lives"
    assert server.end() == 0


@pytest.mark.claim("BLAST-01")
def test_a_stopped_gateway_is_replaced_at_once(serve: Serve, server_home: Home) -> None:
    server = serve("ready")
    assert until(lambda: "ready" in notes(server_home))
    first = gateway_of(server_home).pid
    os.kill(first, signal.SIGSTOP)
    assert until(lambda: notes(server_home).count("ready") == 2, seconds=9), "before its deadline"
    assert not alive(first)
    assert server.end() == 0


def test_a_gateway_that_does_not_drain_is_killed(serve: Serve, server_home: Home) -> None:
    server = serve("stubborn")
    gateway = gateway_of(server_home)
    server.monitor.terminate()
    assert until(lambda: "Drain(deadline_s=10)" in notes(server_home))
    server.monitor.terminate()  # a second request to end changes nothing
    assert server.monitor.wait(30) == 0
    assert not alive(gateway.pid)


def test_a_gateway_that_left_is_not_waited_for(serve: Serve, server_home: Home) -> None:
    server = serve("slow-exit")
    gateway = gateway_of(server_home)
    assert server.end() == 0
    assert not alive(gateway.pid)


def test_one_server_for_each_folder(serve: Serve) -> None:
    first = serve("ready")
    second = serve("ready")
    assert second.report["error"]["code"] == "already_running"
    assert second.monitor.wait(30) == 1
    assert first.monitor.poll() is None


def test_an_address_that_is_taken(serve: Serve, server_home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = serve("ready", **{"listen.port": taken.getsockname()[1]})
    assert server.report["error"]["code"] == "bind_failed"
    assert server.monitor.wait(30) == 1
    assert not server_home.control_socket.exists()


def test_a_wrong_configuration(serve: Serve, server_home: Home) -> None:
    server_home.config_file.write_text("[engine]\nslots = 3\n")
    server = serve("ready")
    assert server.report["error"]["code"] == "config_unknown_key"
    assert server.monitor.wait(30) == 1


@pytest.mark.parametrize("victim", ["monitor", "launcher"])
def test_a_killed_server_leaves_nothing(victim: str, serve: Serve, server_home: Home) -> None:
    server = serve("ready")
    monitor = server.monitor.pid
    children = Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()
    members = measured_launcher.members_of(server_home) | {int(children[0])}
    os.kill(monitor if victim == "monitor" else int(children[0]), signal.SIGKILL)
    server.monitor.wait(30)
    assert until(lambda: not any(map(alive, members)))
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.report["host"], server.report["port"]))
    again = serve("ready")
    assert "port" in again.report
    assert {g.name for g in groups_of(server_home)} == {f"serve-{again.monitor.pid}"}


def test_operators_are_few(serve: Serve, server_home: Home) -> None:
    serve("ready")
    clients = []
    for _ in range(16):
        # One after the other: whoever waited for "ready" may still have been counted for the first.
        clients.append(operator(server_home))
        assert len(list(clients[-1].workers())) == 1
    assert [len(list(client.workers())) for client in clients] == [1] * 16
    with closing(operator(server_home)) as late, pytest.raises(CorralError, match="peer_gone"):
        list(late.workers())
    for client in clients:
        client.close()
    assert gateway_of(server_home).kind == "gateway", "their places are free for who comes later"


@pytest.mark.claim("LCH-10")
def test_another_user_is_no_operator(serve: Serve, server_home: Home) -> None:
    serve("ready")
    # Neither the socket's mode nor that of a folder above would stop this user.
    server_home.control_socket.chmod(0o666)
    here = os.open(server_home.run, os.O_PATH | os.O_DIRECTORY)

    def look() -> str:
        os.fchdir(here)
        os.setresgid(12345, 12345, 12345)
        os.setresuid(12345, 12345, 12345)
        client = LauncherClient.connect(Path("control.sock"))
        return str(len(list(client.workers())))

    assert in_child(look).startswith("IpcError: peer_gone")
    os.close(here)
