"""Start of the launcher: settle the host, build images, enter own namespaces, serve or do a job.

Trust: priv zone. Input: argv and configuration of the operator. See `launcher.namespaces_unsafe`
for the process tree and `launcher.dispatch` for what it may be asked.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import corral
from corral.core.config import Config, load_config, override_config
from corral.core.errors import CorralError, SandboxError
from corral.core.home import Home
from corral.launcher.events import EventLog
from corral.launcher.host import Host, remove_groups, remove_leftovers, settle_host
from corral.launcher.isolation import bounded_config
from corral.launcher.jails import JailTable
from corral.launcher.loop import Loop
from corral.launcher.namespaces_unsafe import run_as_pid_one
from corral.launcher.pen import Pen
from corral.launcher.requests import Requests
from corral.launcher.serve import Server, bind_control, bind_listener, report_to
from corral.launcher.session import Role
from corral.launcher.spawn_unsafe import reserve_fds
from corral.launcher.stage import STAGE, build_stage
from corral.sandbox.image import Installation, build_image, remove_stale
from corral.sandbox.linux_unsafe import set_process_name
from corral.sandbox.policy import KINDS

_FIRST_OWN_FD = 16
_KINDS = {
    "serve": ("engine", "guard", "media", "gateway"),
    "job": ("engine", "scan", "guard", "media", "fetch"),
    "selftest": KINDS,
}
"""Images that each mode needs; the guard's only where a detector is installed."""


def main(argv: list[str]) -> None:
    """Run a launcher; never returns.

    Exit codes: 0 clean end, 1 could not start (the reason is on the ready descriptor, or on
    standard error for a job), 70 internal error.
    """
    options = _parse(argv)
    set_process_name("corral-monitor")
    fd = _move_up(options.fd)
    if options.listener >= 0:
        options.listener = _move_up(options.listener)
    if options.master_key >= 0:
        options.master_key = _move_up(options.master_key)
    report = report_to(fd) if options.mode == "serve" else _report_to_stderr
    try:
        code = _run(options, fd, report)
    except CorralError as error:
        report({
            "error": {"code": error.code, "message": error.message, "remedy": error.remedy}
        })  # fmt: skip
        code = 1
    sys.exit(code)


def _run(options: argparse.Namespace, fd: int, report: Callable[[dict[str, object]], None]) -> int:
    home = Home(Path(options.home))
    config = override_config(load_config(home.config_file), json.loads(options.set))
    _check_places(home, config)
    reserve_fds()
    os.umask(0o022)
    for folder in (home.blobs, home.quarantine, home.state, home.images, home.run):
        folder.mkdir(parents=True, exist_ok=True)
    if options.mode == "serve":
        _lock(home)
    host = settle_host(home, config, options.mode)
    remove_leftovers(home, host.cgroups)
    installed = Installation(Path(options.site), Path(corral.__file__).parent)
    kinds = [kind for kind in _KINDS[options.mode] if kind != "guard" or home.detector.is_dir()]
    images = {kind: build_image(kind, home.images, installed) for kind in kinds}
    log = EventLog(home.log_file)
    config = bounded_config(config, host.isolation)
    for point in host.isolation.points:
        log.write("hardware", point=point.name, held=int(point.held), detail=point.detail)
    for feature in host.degraded:
        log.write("degraded", feature=feature)

    def inside(host_proc: int, alive: int) -> int:
        build_stage(home, images, hide_unified=host.plain_runtime.name == "crun")
        if options.mode == "serve":
            return _serve(home, config, host, log, host_proc, alive, report, options)
        return _job(home, config, host, log, host_proc, alive, fd)

    def beside() -> None:
        # The launcher's alone: unlike that, this monitor can be looked into by its own user.
        if options.master_key >= 0:
            os.close(options.master_key)
        # A server that runs is not ended because of what others have left.
        with contextlib.suppress(OSError, CorralError):
            if options.mode == "serve":
                remove_stale(home.images, installed)

    return run_as_pid_one(inside, beside=beside, on_end=lambda: remove_groups(host))


def _serve(
    home: Home, config: Config, host: Host, log: EventLog, host_proc: int, alive: int,
    report: Callable[[dict[str, object]], None], options: argparse.Namespace,
) -> int:  # fmt: skip
    inherited = options.listener
    try:
        listener = bind_listener(config) if inherited < 0 else socket.socket(fileno=inherited)
        control = bind_control(home)
        jails = JailTable()
        pen = Pen(host, jails, host_proc, log)
        loop = Loop(pen=pen, jails=jails, log=log, alive=alive)
        loop.listen(control)
        server = Server(
            home=home, config=config, pen=pen, jails=jails, log=log, loop=loop,
            listener=listener, report=report, master_key=options.master_key,
        )  # fmt: skip
        return server.run()
    except CorralError as error:
        report({
            "error": {"code": error.code, "message": error.message, "remedy": error.remedy}
        })  # fmt: skip
        return 1
    finally:
        home.control_socket.unlink(missing_ok=True)


def _job(
    home: Home, config: Config, host: Host, log: EventLog, host_proc: int, alive: int, fd: int
) -> int:
    jails = JailTable()
    pen = Pen(host, jails, host_proc, log)
    loop = Loop(pen=pen, jails=jails, log=log, alive=alive)
    loop.add_channel(socket.socket(fileno=fd), Role.JOB)
    requests = Requests(
        home=home, config=config, pen=pen, jails=jails, log=log, on_gateway_ready=lambda: None
    )
    while loop.running and not loop.signals:
        loop.step(requests, float("inf"))
    loop.kill_everything()
    return 0


def _move_up(fd: int) -> int:
    # The low numbers are where a jail's descriptors are lined up.
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_OWN_FD)
    os.close(fd)
    return moved


def _check_places(home: Home, config: Config) -> None:
    # The launcher covers this folder with its private tree: what lies below would be hidden.
    for path in (home.root, Path(config.tls.cert_file or "/"), Path(config.tls.key_file or "/")):
        if path.resolve().is_relative_to(STAGE):
            raise SandboxError(
                "place_unusable", f"corral cannot use files below {STAGE}",
                remedy="choose another state folder (--home) or place for the certificate",
            )  # fmt: skip


def _lock(home: Home) -> None:
    fd = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SandboxError(
            "already_running", "a corral server runs on this state folder already",
            remedy="stop it (corral stop), or use another folder (--home)",
        ) from error  # fmt: skip
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())


def _report_to_stderr(document: dict[str, object]) -> None:
    sys.stderr.write(json.dumps(document) + "\n")


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="corral-launcher")
    parser.add_argument("mode", choices=tuple(_KINDS))
    parser.add_argument("--home", required=True)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--site", required=True)
    parser.add_argument("--set", required=True)
    parser.add_argument("--listener", type=int, default=-1)
    parser.add_argument("--master-key", type=int, default=-1)
    return parser.parse_args(argv)
