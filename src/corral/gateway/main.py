"""The gateway process: takes its sockets and secrets from the launcher, then serves.

Trust: net. Runs in its own jail: empty network namespace, empty environment, nothing writable but
/state and /tmp. Input: descriptor 3 is the listening socket, 4 the channel to the launcher.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Final

import uvloop

from corral.admission.catalog import Catalog
from corral.admission.demand import threads
from corral.admission.receipt import ReceiptFault
from corral.audit.appender import Rotation
from corral.audit.log import AuditLog
from corral.core.config import Engine, parse_config
from corral.core.errors import CorralError, IpcError
from corral.engine.launcher_link import Event, LauncherLink
from corral.engine.router import Router
from corral.gateway.app import build_app
from corral.gateway.detector import Detector
from corral.gateway.guard_model import GuardModels
from corral.gateway.host_report import HostReport, parse_host_report
from corral.gateway.http_guard import Front, allowed_hosts
from corral.gateway.keeping import Storage
from corral.gateway.pipeline import Services
from corral.gateway.room import Caps, Room
from corral.gateway.sanitation import Sanitation
from corral.gateway.server import GatewayServer
from corral.gateway.standing import Standing
from corral.gateway.tls import ServerTls
from corral.gateway.uploads import Uploads
from corral.ipc.messages import Drain, Reload, WorkerEnded
from corral.pki.audit_key import parse_audit_key
from corral.pki.master_key import check_master_key
from corral.state.spill import spill_into
from corral.telemetry.log import configure_logging, get_logger
from corral.telemetry.metrics import Metrics
from corral.tenancy.data_keys import DataKeys
from corral.tenancy.fair_queue import FairQueue
from corral.tenancy.keyring import Keyring
from corral.tenancy.ledger import Ledger
from corral.tenancy.limits import TenantLimits
from corral.tenancy.ward import Ward

_log: Final = get_logger("gateway.main")

LISTENER_FD: Final = 3
CHANNEL_FD: Final = 4
STATE: Final = Path("/state")
_ALIVE_S: Final = 2.0
"""A fifth of the launcher's patience (`launcher.serve`)."""


def fair_capacity(config: Engine) -> int:
    """Return how many requests may be with engines at once: as configured, or by this machine.

    Twice a worker's slots: a tenant alone has all slots of a worker, and one more worker's
    wait for whoever comes then, since no request that runs is taken its place from. Where there
    are more cores than that, one request for each.
    """
    return config.capacity or max(2 * config.parallel, threads(config))


def note_fault(model: str, fault: ReceiptFault) -> None:
    """Log that a model is not served, and why."""
    _log.error("receipt_not_valid", model=model, reason=fault)


class Gateway:
    """The composition root: everything the gateway is made of, and what events do to it."""

    def __init__(self, *, listener: socket.socket, channel: socket.socket, state: Path) -> None:
        self._listener = listener
        self._database = state / "corral.db"
        self._link = LauncherLink(channel, on_event=self._event, on_closed=self._launcher_gone)
        self._server: GatewayServer | None = None
        self._tls: ServerTls | None = None
        self._router: Router | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._drain_s: int | None = None

    async def run(self) -> None:
        """Serve until the launcher says `Drain` or goes away.

        Raises:
            CorralError: a secret or the configuration cannot be used.
        """
        link = self._link
        config = parse_config(json.loads(await link.open_secret("config")))
        pepper = await link.open_secret("pepper")
        public_key = await link.open_secret("receipt_public_key")
        cert, key = await link.open_secret("tls_cert"), await link.open_secret("tls_key")
        audit_key = parse_audit_key(await link.open_secret("audit.key"))
        master_key = check_master_key(await link.open_secret("master.key"))
        keyring = Keyring(self._database, pepper)
        self._tls = ServerTls(cert, key, keyring.client_trust)
        if config.identity.oidc:
            from corral.tenancy.oidc import OidcTokens  # not at every start: it loads a library
            from corral.tenancy.oidc_provider import parse_providers

            tokens = OidcTokens(parse_providers(config.identity.oidc), keyring, pepper)
            keyring.take_also(tokens.authenticate)
        ledger = Ledger(self._database)
        rotation = Rotation(**asdict(config.audit))
        tracing = None
        if config.telemetry.trace_files:
            from corral.gateway.tracing import Tracing  # not at every start

            tracing = Tracing(self._database.parent, config.telemetry.trace_files)
        audit = AuditLog(self._database.parent, self._database, audit_key, rotation)
        catalog = Catalog(self._database, public_key, note=note_fault)
        data_keys = DataKeys(self._database, master_key)
        metrics, clients = Metrics(), config.clients
        fair = FairQueue(fair_capacity(config.engine))
        self._router = Router(
            link, config.engine, ward=Ward(self._database), metrics=metrics, standing=fair.standing
        )
        detector = Detector(link, waived="detector" in config.sandbox.allow_degraded)
        services = Services(
            config=config,
            database=self._database,
            pepper=pepper,
            keyring=keyring,
            standing=Standing(keyring, catalog, self._router),
            catalog=catalog,
            limits=TenantLimits(config.limits, self._database),
            ledger=ledger,
            uploads=Uploads(config.limits.body_bytes),
            audit=audit,
            data_keys=data_keys,
            storage=Storage(self._database, data_keys),
            sanitation=Sanitation(
                self._database, detector, GuardModels(catalog, self._router, config), link
            ),
            router=self._router,
            fair=fair,
            metrics=metrics,
            tracing=tracing,
            host=await self._host_report(),
        )
        self._server = server = GatewayServer(
            build_app(services, ready=self._ready),
            front=Front(
                hosts=allowed_hosts(config.listen),
                body_bytes=config.limits.body_bytes,
                head_s=clients.header_timeout_s,
                body_s=clients.body_timeout_s,
                body_rate=clients.upload_bytes_per_s,
                metrics=metrics,
            ),
            room=Room(
                Caps(
                    connections=clients.connections,
                    per_address=clients.connections_per_address,
                    per_tenant=clients.connections_per_tenant,
                )
            ),
            idle_s=clients.idle_timeout_s,
            tls=self._tls,
            on_ready=lambda: self._spawn(self._report_life(services.sanitation)),
        )
        self._spawn(detector.open())
        if self._drain_s is not None:
            server.drain(self._drain_s)
        try:
            await server.serve(sockets=[self._listener])
        finally:
            await detector.close()
            await self._router.close()
            services.storage.close()
            services.sanitation.close()
            services.lookups.close()
            if tracing is not None:
                tracing.close()
            services.limits.close()
            ledger.close()
            audit.close()
            keyring.close()
            link.close()

    async def _report_life(self, sanitation: Sanitation) -> None:
        """Tell the launcher that we serve, then again and again that this loop turns."""
        try:
            await self._link.gateway_ready()
            await asyncio.to_thread(sanitation.warm)
            while True:
                await asyncio.sleep(_ALIVE_S)
                await self._link.gateway_alive()
        except IpcError:
            return  # the launcher has gone: `_launcher_gone` ends us

    async def _host_report(self) -> HostReport | None:
        """Return what the operator's side found out about the host; it is only shown."""
        try:
            report = parse_host_report(await self._link.open_secret("host"))
        except IpcError:
            raise
        except CorralError:
            report = None
        if report is None:
            _log.warning("host_report_missing")
        return report

    def _ready(self) -> bool:
        return self._server is not None and self._server.started and self._drain_s is None

    def _event(self, event: Event) -> None:
        if isinstance(event, WorkerEnded):
            if self._router is not None:
                self._router.worker_ended(event)
        elif isinstance(event, Reload):
            self._spawn(self._reload())
        elif isinstance(event, Drain):
            _log.info("draining", deadline_s=event.deadline_s)
            self._drain_s = event.deadline_s
            if self._server is not None:
                self._server.drain(event.deadline_s)

    async def _reload(self) -> None:
        if self._tls is None:
            return
        try:
            cert = await self._link.open_secret("tls_cert")
            self._tls.reload(cert, await self._link.open_secret("tls_key"))
        except CorralError as error:
            _log.error("tls_reload_failed", code=error.code)
        else:
            _log.info("tls_reloaded")

    def _launcher_gone(self) -> None:
        """Without the launcher there are no workers and no supervision: stop."""
        if self._server is not None:
            self._server.drain(1)
            self._server.force_exit = True

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("task_failed", exc_info=task.exception())


async def serve(*, listener: socket.socket, channel: socket.socket, state: Path) -> None:
    """Run one gateway to its end."""
    await Gateway(listener=listener, channel=channel, state=state).run()


def main() -> int:
    """Run the gateway on the inherited descriptors; return the exit code."""
    spill_into(STATE)  # the jail's /tmp is memory, and small
    configure_logging()
    listener = socket.socket(fileno=LISTENER_FD)
    channel = socket.socket(fileno=CHANNEL_FD)
    listener.setblocking(False)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(listener=listener, channel=channel, state=STATE))
    except CorralError as error:
        _log.error("gateway_failed", code=error.code)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
