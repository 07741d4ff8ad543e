"""What each request refuses before anything is started, and what needs no jail."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from corral.control.sealed_key import key_memory, seal_key
from corral.core.config import Config, Tls, parse_config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.ipc.messages import (
    ConfirmSealed,
    Done,
    GatewayReady,
    NextWorker,
    NoMore,
    OpenSecret,
    Refused,
    Secret,
    StartEngine,
    StartFetch,
    StartProbe,
    StartScan,
    StopWorker,
    WorkerStatus,
)
from corral.launcher import blobs, requests
from corral.launcher import pen as pen_module
from corral.launcher.events import EventLog
from corral.launcher.jails import Jail, JailTable
from corral.launcher.pen import JailRequest, Pen
from corral.launcher.requests import Requests
from corral.launcher.session import Reply, Role, Session
from tests.support.children import ended

JOB = Session(1, Role.JOB, set())
GATEWAY = Session(1, Role.GATEWAY, set())
OPERATOR = Session(9, Role.OPERATOR, set())
GOOD = StartEngine("t", "m", "0" * 64, False, 2048, 4, 2, 1 << 30)
AddJail = Callable[..., Jail]


@pytest.fixture
def ready() -> list[bool]:
    return []


@pytest.fixture
def table(
    home: Home, config: Config, pen: Pen, jails: JailTable, log: EventLog, ready: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> Requests:  # fmt: skip
    monkeypatch.setattr(blobs, "STORE", home.blobs)
    monkeypatch.setattr(blobs, "QUARANTINE", home.quarantine)
    monkeypatch.setattr(requests, "QUARANTINE", home.quarantine)
    return Requests(
        home=home, config=config, pen=pen, jails=jails, log=log,
        on_gateway_ready=lambda: ready.append(True),
    )  # fmt: skip


def code_of(attempt: Callable[[], object]) -> str:
    with pytest.raises(CorralError) as caught:
        attempt()
    return caught.value.code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tenant": "../a"}, "bad_tenant_name"),
        ({"model": "a/b"}, "bad_model_name"),
        ({"digest": "../../etc"}, "bad_digest"),
        ({"context_tokens": 127}, "bad_engine_option"),
        ({"context_tokens": (1 << 20) + 1}, "bad_engine_option"),
        ({"parallel": 0}, "bad_engine_option"),
        ({"parallel": 65}, "bad_engine_option"),
        ({"threads": 0}, "bad_engine_option"),
        ({"threads": 513}, "bad_engine_option"),
        ({"memory_bytes": 1}, "bad_engine_option"),
        ({"memory_bytes": 65 << 30}, "bad_engine_option"),
        ({}, "model_missing"),
        ({"quarantined": True}, "model_missing"),
    ],
)
def test_engines_that_are_not_started(
    table: Requests, jails: JailTable, change: dict[str, object], code: str
) -> None:
    message = replace(GOOD, **change)  # type: ignore[arg-type]
    assert code_of(lambda: table.start_engine(JOB, message)) == code
    assert len(jails) == 0


@pytest.mark.claim("LCH-02")
def test_a_gateway_cannot_load_from_quarantine(table: Requests) -> None:
    message = replace(GOOD, quarantined=True)
    assert code_of(lambda: table.start_engine(GATEWAY, message)) == "not_permitted"


def test_a_candidate_that_is_not_there(table: Requests) -> None:
    assert code_of(lambda: table.start_scan(JOB, StartScan("nothing"))) == "model_missing"


@pytest.mark.parametrize("folder", ["", "..", "a/b", "a.b", "a" * 81])
def test_folders_that_are_none(table: Requests, home: Home, folder: str) -> None:
    assert code_of(lambda: table.start_fetch(JOB, StartFetch(folder))) == "bad_folder"
    assert not list(home.quarantine.iterdir())


@pytest.fixture
def asked(
    table: Requests, pen: Pen, home: Home, add_jail: AddJail, monkeypatch: pytest.MonkeyPatch
) -> list[JailRequest]:
    """What the pen is asked to start; every zone has an image."""
    made: list[JailRequest] = []

    def start(request: JailRequest, *, owner: int) -> tuple[Jail, tuple[int, ...]]:
        made.append(request)
        return add_jail(kind=request.kind, owner=owner), ()

    monkeypatch.setattr(pen, "start", start)
    monkeypatch.setattr(pen, "give_to", lambda *_: None)
    monkeypatch.setattr(requests, "IMAGES", home.images)
    for zone in ("engine", "scan", "guard", "media", "fetch", "gateway"):
        (home.images / zone / "etc").mkdir(parents=True)
        (home.images / zone / "etc" / "hosts").touch()
    return made


def test_a_scan_gets_the_folder_beside_and_time_by_size(
    table: Requests, home: Home, asked: list[JailRequest]
) -> None:
    folder = home.quarantine / "scan-1"
    folder.mkdir(mode=0o755)
    for name in ("candidate", "part-0"):
        (folder / name).touch(mode=0o444)
        os.truncate(folder / name, 64 << 20)
    table.start_scan(JOB, StartScan("scan-1/candidate"))
    table.start_scan(JOB, StartScan("scan-1/candidate", "scan-1"))
    alone, together = asked
    assert (alone.beside_fd, alone.extra_s) == (-1, 2)
    assert os.readlink(f"/proc/self/fd/{together.beside_fd}") == str(folder)
    assert together.extra_s == 6
    for fd in (alone.file_fd, together.file_fd, together.beside_fd):
        os.close(fd)
    before = os.listdir("/proc/self/fd")
    assert (
        code_of(lambda: table.start_scan(JOB, StartScan("scan-1/candidate", "no"))) == "bad_folder"
    )
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("zone", ["", "other", "../engine"])
def test_a_probe_of_no_zone(table: Requests, asked: list[JailRequest], zone: str) -> None:
    assert code_of(lambda: table.start_probe(JOB, StartProbe(zone))) == "no_such_zone"
    assert not asked


def test_a_probe_of_a_zone_without_an_image(table: Requests) -> None:
    assert code_of(lambda: table.start_probe(JOB, StartProbe("engine"))) == "no_such_zone"


@pytest.mark.claim("ESC-05")
@pytest.mark.parametrize(
    ("zone", "folder"),
    [("engine", ""), ("scan", ""), ("guard", ""), ("media", ""),
     ("fetch", "/quarantine"), ("gateway", "/state")],
)  # fmt: skip
def test_a_probe_gets_nothing_of_anybody(
    table: Requests, home: Home, asked: list[JailRequest], zone: str, folder: str
) -> None:
    (home.state / "corral.db").touch()  # control: the real state folder is not empty
    table.start_probe(JOB, StartProbe(zone))
    (request,) = asked
    assert request.module == "corral.selftest.probes.program"
    assert request.kind == zone
    assert [b.destination for b in request.binds] == ([folder] if folder else [])
    assert all(not os.listdir(b.source) for b in request.binds)
    if zone in {"fetch", "guard", "media"}:
        assert request.file_fd == -1
        return
    is_listener = zone == "gateway"
    assert os.readlink(f"/proc/self/fd/{request.file_fd}").startswith("socket:") == is_listener
    if not is_listener:
        assert os.fstat(request.file_fd).st_size == 0
    os.close(request.file_fd)


@pytest.mark.claim("LCH-05")
@pytest.mark.parametrize(
    ("session", "kind"),
    [(JOB, "gateway"), (OPERATOR, "gateway"), (Session(2, Role.JOB, set()), "engine"),
     (Session(2, Role.GATEWAY, set()), "engine")],
)  # fmt: skip
def test_workers_that_are_not_yours(
    table: Requests, add_jail: AddJail, session: Session, kind: str
) -> None:
    jail = add_jail(kind=kind)
    reply = table.stop_worker(session, 1, StopWorker(jail.worker_id))
    assert isinstance(reply.message, Refused)
    assert reply.message.code == "no_such_worker"
    assert not jail.stopped_by_us


def test_a_worker_that_does_not_exist(table: Requests) -> None:
    reply = table.stop_worker(OPERATOR, 1, StopWorker(4))
    assert isinstance(reply.message, Refused)


@pytest.mark.parametrize("session", [JOB, OPERATOR])
def test_stopping_answers_when_it_is_over(
    table: Requests, add_jail: AddJail, session: Session
) -> None:
    with ended(subprocess.Popen(["/bin/sleep", "60"])) as process:
        jail = add_jail(pid=process.pid)
        assert table.stop_worker(session, 3, StopWorker(jail.worker_id)) == Reply(None)
        assert process.wait(5) == -9
    assert jail.waiters == [(session.identity, 3)]
    assert jail.stopped_by_us
    assert jail.stopped_by_operator == (session is OPERATOR)


def test_workers_are_listed(table: Requests, add_jail: AddJail) -> None:
    assert table.next_worker(NextWorker(0)) == Reply(NoMore())
    engine, fetch = add_jail(pid=os.getpid()), add_jail(kind="fetch")
    status = table.next_worker(NextWorker(0)).message
    assert isinstance(status, WorkerStatus)
    assert (status.worker_id, status.runtime, status.tier) == (engine.worker_id, "runsc", "gvisor")
    assert status.rss_bytes > 1 << 20
    second = table.next_worker(NextWorker(engine.worker_id)).message
    assert isinstance(second, WorkerStatus)
    assert (second.worker_id, second.runtime, second.rss_bytes) == (fetch.worker_id, "crun", 0)


@pytest.mark.claim("SEAL-06")
def test_a_worker_that_only_says_it_is_sealed_is_killed(table: Requests, add_jail: AddJail) -> None:
    with ended(subprocess.Popen(["/bin/sleep", "60"])) as process:
        jail = add_jail(pid=process.pid)
        jail.trust = "trusted"  # in the namespaces tier
        message = ConfirmSealed(jail.worker_id)
        reply = table.confirm_sealed(JOB, message)
        assert isinstance(reply.message, Refused)
        assert reply.message.code == "seal_failed"
        assert process.wait(5) == -9
    assert jail.unsealed
    again = table.confirm_sealed(JOB, message)
    assert isinstance(again.message, Refused)
    assert again.message.code == "not_permitted"


@pytest.mark.claim("SEAL-06")
def test_a_worker_that_has_just_ended_is_refused_but_was_not_unsealed(
    table: Requests, add_jail: AddJail
) -> None:
    with ended(subprocess.Popen(["/bin/sleep", "60"])) as process:
        process.kill()  # and nobody has waited for it
        jail = add_jail(pid=process.pid)
        jail.trust = "trusted"
        reply = table.confirm_sealed(JOB, ConfirmSealed(jail.worker_id))
        assert isinstance(reply.message, Refused)
        assert reply.message.code == "worker_failed"
    assert not jail.unsealed
    assert jail.confirmed


@pytest.mark.claim("SEAL-06")
def test_a_sealed_worker_is_confirmed_once(
    table: Requests, add_jail: AddJail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pen_module, "find_flaw", lambda *_, **__: "")
    jail = add_jail()
    assert table.confirm_sealed(JOB, ConfirmSealed(jail.worker_id)) == Reply(Done())
    assert not jail.unsealed
    assert isinstance(table.confirm_sealed(JOB, ConfirmSealed(jail.worker_id)).message, Refused)


@pytest.mark.claim("SEAL-06")
@pytest.mark.parametrize(
    ("session", "kind", "worker_id"),
    [(JOB, "engine", 4), (JOB, "scan", 1), (JOB, "gateway", 1),
     (Session(2, Role.JOB, set()), "engine", 1)],
)  # fmt: skip
def test_workers_that_are_not_yours_to_confirm(
    table: Requests, add_jail: AddJail, session: Session, kind: str, worker_id: int
) -> None:
    jail = add_jail(kind=kind)
    reply = table.confirm_sealed(session, ConfirmSealed(worker_id))
    assert isinstance(reply.message, Refused)
    assert reply.message.code == "no_such_worker"
    assert not jail.confirmed


SECRET_KINDS = (
    "tls_cert", "tls_key", "pepper", "receipt_public_key", "config", "host", "audit.key",
    "master.key",
)  # fmt: skip


def read_secret(table: Requests, kind: str, session: Session = GATEWAY) -> bytes:
    reply = table.open_secret(session, OpenSecret(kind))
    assert reply.message == Secret()
    (fd,) = reply.fds
    assert not os.get_inheritable(fd)
    with os.fdopen(fd, "rb") as file:
        return file.read()


def test_secrets_of_the_gateway(table: Requests, home: Home, config: Config) -> None:
    home.secrets.mkdir()
    files = {
        "tls_cert": home.server_cert, "tls_key": home.server_key, "pepper": home.pepper,
        "receipt_public_key": home.receipt_public_key, "host": home.host_report,
        "audit.key": home.secrets / "audit.key",
    }  # fmt: skip
    for kind, path in files.items():
        path.write_text(kind)
    home.receipt_key.write_text("never given")
    (home.tls / "ca.key").write_text("never given")
    for kind in files:
        assert read_secret(table, kind) == kind.encode()
    assert {*files, "config", "master.key"} == set(SECRET_KINDS)
    assert parse_config(json.loads(read_secret(table, "config"))) == config == Config()


@pytest.mark.claim("LCH-06")
def test_a_gateway_that_serves_gets_certificates_only(table: Requests, home: Home) -> None:
    ready = Session(1, Role.GATEWAY, {GatewayReady})
    home.secrets.mkdir()
    for path in (home.server_cert, home.server_key, home.pepper):
        path.write_text("text")
    for kind in SECRET_KINDS:
        if kind in {"tls_cert", "tls_key"}:
            assert read_secret(table, kind, ready) == b"text"
            continue
        reply = table.open_secret(ready, OpenSecret(kind))
        assert isinstance(reply.message, Refused)
        assert reply.message.code == "not_permitted"


@pytest.mark.claim("LCH-06")
@pytest.mark.parametrize("kind", ["receipt_key", "ca_key", "../corral.toml", "/etc/shadow", ""])
def test_nothing_else_is_a_secret(table: Requests, kind: str) -> None:
    reply = table.open_secret(GATEWAY, OpenSecret(kind))
    assert isinstance(reply.message, Refused)
    assert reply.message.code == "not_permitted"


@pytest.mark.claim("REST-12")
def test_the_master_key_is_what_the_launcher_was_given_and_never_the_file(
    home: Home, config: Config, pen: Pen, jails: JailTable, log: EventLog, table: Requests
) -> None:
    home.secrets.mkdir()
    (home.secrets / "master.key").write_text("the file")
    key = seal_key(key_memory(), b"k" * 32)
    given = Requests(
        home=home, config=config, pen=pen, jails=jails, log=log, on_gateway_ready=lambda: None,
        master_key=key,
    )  # fmt: skip
    try:
        for _ in range(3):  # each gateway reads all of it
            assert read_secret(given, "master.key") == b"k" * 32
        used = Session(1, Role.GATEWAY, {GatewayReady})
        reply = given.open_secret(used, OpenSecret("master.key"))
        assert isinstance(reply.message, Refused)
        assert reply.message.code == "not_permitted"
    finally:
        os.close(key)
    with pytest.raises(OSError, match="descriptor"):
        table.open_secret(GATEWAY, OpenSecret("master.key"))


def test_the_operators_own_certificate(
    home: Home, pen: Pen, jails: JailTable, log: EventLog, tmp_path: Path
) -> None:
    cert, key = tmp_path / "c", tmp_path / "k"
    cert.write_text("cert")
    key.write_text("key")
    table = Requests(
        home=home, config=replace(Config(), tls=Tls(str(cert), str(key))), pen=pen, jails=jails,
        log=log, on_gateway_ready=lambda: None,
    )  # fmt: skip
    assert read_secret(table, "tls_cert") == b"cert"
    assert read_secret(table, "tls_key") == b"key"


def test_the_gateway_is_ready_and_goes_on(table: Requests, ready: list[bool]) -> None:
    assert table.gateway_ready() == Reply(Done())
    assert table.gateway_alive() == Reply(Done())
    assert ready == [True, True]


def test_the_effective_configuration_is_plain_json(config: Config) -> None:
    assert parse_config(json.loads(json.dumps(asdict(config)))) == config
