"""What each permitted request does.

Trust: trusted base. Input: decoded messages; every name in them is checked before it is used.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from corral.core.config import Config, isolation_level
from corral.core.errors import SandboxError
from corral.core.home import Home
from corral.core.ids import parse_model_name, parse_tenant_name
from corral.core.limits import MEDIA_JAILS, SCAN_BYTES_PER_SECOND, WORKER_BYTES_MIN
from corral.ipc.messages import (
    ConfirmSealed,
    Done,
    NextWorker,
    NoMore,
    OpenSecret,
    Refused,
    Secret,
    ShareCores,
    Started,
    StartEngine,
    StartFetch,
    StartProbe,
    StartScan,
    StopWorker,
    WorkerStatus,
)
from corral.launcher.blobs import (
    FOLDER,
    open_beside,
    open_candidate,
    open_detector,
    open_pair,
    read_pair_trust,
    read_trust,
)
from corral.launcher.events import EventLog
from corral.launcher.jails import Jail, JailTable
from corral.launcher.pen import JailRequest, Pen
from corral.launcher.session import Reply, Role, Session
from corral.launcher.stage import IMAGES, QUARANTINE
from corral.sandbox.oci import SEALED_PROFILE, Bind
from corral.sandbox.policy import KINDS

_PROBE_MODULE: Final = "corral.selftest.probes.program"
_PROBE_BYTES: Final = 64 << 20
"""Memory of a probe's jail: small, so that a memory attack ends soon."""
_OWN_FOLDERS: Final = {"fetch": "/quarantine", "gateway": "/state"}
"""Where a zone may write; a probe gets an empty folder there, never a real one."""


_READ_AGAIN: Final = ("tls_cert", "tls_key")
"""What a gateway that serves may open again, for a certificate that was replaced."""


class Requests:
    """Carries out the request table for one launcher.

    `master_key` is a server's memfd with the open master key; the launcher never sees its file.
    """

    def __init__(
        self, *, home: Home, config: Config, pen: Pen, jails: JailTable, log: EventLog,
        on_gateway_ready: Callable[[], None], master_key: int = -1,
    ) -> None:  # fmt: skip
        self._master_key = master_key
        self._home = home
        self._config = config
        self._pen = pen
        self._jails = jails
        self._log = log
        self._on_gateway_ready = on_gateway_ready

    def start_engine(self, session: Session, message: StartEngine) -> Reply:
        """Start an engine worker on one model."""
        tenant, model = parse_tenant_name(message.tenant), parse_model_name(message.model)
        if message.quarantined and session.role is not Role.JOB:
            raise SandboxError("not_permitted", "a model in quarantine is loaded by admission only")
        engine = self._config.engine
        if not (
            128 <= message.context_tokens <= 1 << 20
            and 1 <= message.parallel <= 64
            and 1 <= message.threads <= 512
            and message.event_interval_ms <= 1000
            and WORKER_BYTES_MIN <= message.memory_bytes <= engine.memory_max_bytes
            and not (message.adapter and message.projector)
        ):
            raise SandboxError(
                "bad_engine_option", "an engine option is out of the operator's range",
                remedy="see engine.* in: corral config show",
            )  # fmt: skip
        strict = isolation_level(self._config, tenant) == "strict"
        isolation = self._pen.host.isolation
        threads = isolation.threads_of(message.threads) if strict else message.threads
        # The tier follows from what admission noted, never from what the channel says.
        trust = "untrusted" if message.quarantined else self._noted_trust(message)
        laid = message.adapter or message.projector
        fd, laid_fd = open_pair(message.digest, laid, quarantined=message.quarantined)
        scale = ("--adapter-scale", str(message.adapter_scale)) if message.adapter else ()
        return self._start(
            session,
            JailRequest(
                kind="engine", title_suffix=f"{tenant}/{model}", memory_bytes=message.memory_bytes,
                args=("--context-tokens", str(message.context_tokens),
                      "--parallel", str(message.parallel), "--threads", str(threads),
                      "--event-interval-ms", str(message.event_interval_ms),
                      "--seal", SEALED_PROFILE, "--landlock", self._pen.host.landlock(trust),
                      *scale),
                file_fd=fd, file_option="--model", laid_fd=laid_fd,
                laid_option="--projector" if message.projector else "--adapter", trust=trust,
                tenant=tenant, strict=strict,
            ),
            tenant=tenant, model=model, digest=message.digest,
        )  # fmt: skip

    def _noted_trust(self, message: StartEngine) -> str:
        laid = message.adapter or message.projector
        if not laid:
            return read_trust(self._home, message.digest)
        how = "projector" if message.projector else str(message.adapter_scale)
        return read_pair_trust(self._home, message.digest, laid, how)

    def start_scan(self, session: Session, message: StartScan) -> Reply:
        """Start a scan of one file in quarantine, with the files that belong to it."""
        fd = open_candidate(message.name)
        try:
            beside_fd, size_bytes = open_beside(message.beside) if message.beside else (-1, 0)
        except BaseException:
            os.close(fd)
            raise
        size_bytes += os.fstat(fd).st_size
        return self._start(
            session,
            JailRequest(
                kind="scan", file_fd=fd, file_option="--candidate", beside_fd=beside_fd,
                extra_s=size_bytes // SCAN_BYTES_PER_SECOND,
            ),
        )  # fmt: skip

    def start_guard(self, session: Session) -> Reply:
        """Start the detector that the operator has installed; a channel has one at a time."""
        if not (IMAGES / "guard").is_dir():
            raise SandboxError("detector_missing", "no detector was installed at this start")
        if any(jail.kind == "guard" for jail in self._jails.owned_by(session.identity)):
            raise SandboxError("guard_runs", "this channel has started the detector already")
        return self._start(session, JailRequest(kind="guard", beside_fd=open_detector(self._home)))

    def start_media(self, session: Session) -> Reply:
        """Start a jail for the media of one request; it is given nothing but its pipes."""
        mine = self._jails.owned_by(session.identity)
        if sum(jail.kind == "media" for jail in mine) >= MEDIA_JAILS:
            raise SandboxError("media_busy", "this channel has as many media jails as it may")
        return self._start(session, JailRequest(kind="media"))

    def start_fetch(self, session: Session, message: StartFetch) -> Reply:
        """Start a download into one folder of the quarantine."""
        if not FOLDER.fullmatch(message.folder):
            raise SandboxError("bad_folder", "that is no name of a quarantine folder")
        folder = QUARANTINE / message.folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._pen.give_to("fetch", folder)
        return self._start(
            session,
            JailRequest(kind="fetch", binds=(Bind(str(folder), "/quarantine", writable=True),)),
        )

    def start_probe(self, session: Session, message: StartProbe) -> Reply:
        """Start the selftest's program where a zone's own would run; it gets nothing of a tenant.

        Where a zone holds a descriptor, a probe holds one of the same sort: an empty file for a
        model, an unused listener for the server's.
        """
        zone = message.zone
        if zone not in KINDS or not (IMAGES / zone).is_dir():
            raise SandboxError("no_such_zone", "this launcher has no image of such a zone")
        binds: tuple[Bind, ...] = ()
        if zone in _OWN_FOLDERS:
            folder = QUARANTINE / f"selftest-{zone}"
            folder.mkdir(mode=0o700, exist_ok=True)
            self._pen.give_to(zone, folder)
            binds = (Bind(str(folder), _OWN_FOLDERS[zone], writable=True),)
        fd = -1
        if zone == "gateway":
            fd = socket.create_server(("127.0.0.1", 0)).detach()
        elif zone not in {"fetch", "guard", "media"}:  # these are given a folder, or nothing
            fd = os.open(IMAGES / zone / "etc/hosts", os.O_RDONLY | os.O_CLOEXEC)
        request = JailRequest(
            kind=zone, module=_PROBE_MODULE, memory_bytes=_PROBE_BYTES, binds=binds,
            file_fd=fd, file_option="--model",
        )  # fmt: skip
        return self._start(session, request)

    def stop_worker(self, session: Session, request_id: int, message: StopWorker) -> Reply:
        """Kill a worker; the answer comes when nothing of it is left."""
        jail = self._jails.find(message.worker_id)
        foreign = jail is not None and session.role is not Role.OPERATOR
        if jail is None or (foreign and jail.owner != session.identity) or jail.kind == "gateway":
            return Reply(Refused("no_such_worker", "there is no such worker", ""))
        jail.waiters.append((session.identity, request_id))
        jail.stopped_by_operator |= session.role is Role.OPERATOR
        self._pen.kill(jail)
        return Reply(None)

    def confirm_sealed(self, session: Session, message: ConfirmSealed) -> Reply:
        """Look at an engine worker from outside, before it gets its first request."""
        jail = self._engine_of(session, message.worker_id)
        if jail is None:
            return Reply(Refused("no_such_worker", "there is no such worker", ""))
        if jail.confirmed:
            return Reply(Refused("not_permitted", "a worker is looked at once", ""))
        if not self._pen.confirm(jail):
            return Reply(
                Refused("seal_failed" if jail.unsealed else "worker_failed",
                        "the engine worker is not sealed, or has ended", "see: corral logs")
            )  # fmt: skip
        return Reply(Done())

    def share_cores(self, session: Session, message: ShareCores) -> Reply:
        """Change the weight of an engine worker, never beyond that of its profile."""
        jail = self._engine_of(session, message.worker_id)
        if jail is None:
            return Reply(Refused("no_such_worker", "there is no such worker", ""))
        if not 1 <= message.percent <= 100:
            raise SandboxError("bad_engine_option", "a share of cores is 1 to 100 percent")
        self._pen.weigh(jail, message.percent)
        return Reply(Done())

    def _engine_of(self, session: Session, worker_id: int) -> Jail | None:
        jail = self._jails.find(worker_id)
        mine = jail is not None and jail.owner == session.identity and jail.kind == "engine"
        return jail if mine else None

    def next_worker(self, message: NextWorker) -> Reply:
        """Describe one live jail."""
        jail = self._jails.after(message.after)
        if jail is None:
            return Reply(NoMore())
        runtime = self._pen.host.runtime_for(jail.kind, jail.trust)
        return Reply(
            WorkerStatus(
                worker_id=jail.worker_id, kind=jail.kind, tenant=jail.tenant, model=jail.model,
                digest=jail.digest, pid=jail.host_pid, runtime=runtime.name, tier=runtime.tier,
                rss_bytes=self._pen.resident_bytes(jail), started_s=jail.started_s,
            )
        )  # fmt: skip

    def open_secret(self, session: Session, message: OpenSecret) -> Reply:
        """Open one of the gateway's own files; the paths are ours, never the gateway's."""
        if session.ready and message.kind not in _READ_AGAIN:
            return Reply(Refused("not_permitted", "a gateway that serves has this already", ""))
        tls = self._config.tls
        paths = {
            "tls_cert": Path(tls.cert_file) if tls.cert_file else self._home.server_cert,
            "tls_key": Path(tls.key_file) if tls.key_file else self._home.server_key,
            **{kind: self._home.secrets / kind for kind in ("pepper", "audit.key")},
            "receipt_public_key": self._home.receipt_public_key,
            "host": self._home.host_report,
        }
        if message.kind in {"config", "master.key"}:
            # A copy for each gateway: one descriptor of ours would have one offset for all.
            fd = os.memfd_create(message.kind, os.MFD_CLOEXEC)
            os.write(fd, os.pread(self._master_key, 64, 0) if message.kind == "master.key"
                     else json.dumps(asdict(self._config)).encode())  # fmt: skip
            os.lseek(fd, 0, os.SEEK_SET)
            return Reply(Secret(), (fd,))
        path = paths.get(message.kind)
        if path is None:
            return Reply(Refused("not_permitted", "there is no such secret", ""))
        return Reply(Secret(), (os.open(path, os.O_RDONLY | os.O_CLOEXEC),))

    def gateway_ready(self) -> Reply:
        """Note that the gateway answers now."""
        self._on_gateway_ready()
        return Reply(Done())

    def gateway_alive(self) -> Reply:
        """Note that the gateway goes on."""
        return self.gateway_ready()

    def _start(
        self, session: Session, request: JailRequest, *, tenant: str = "", model: str = "",
        digest: str = "",
    ) -> Reply:  # fmt: skip
        began = time.monotonic()
        jail, fds = self._pen.start(request, owner=session.identity)
        jail.tenant, jail.model, jail.digest = tenant, model, digest
        self._jails.add(jail)
        self._log.write(
            "jail_started", kind=jail.kind, worker_id=jail.worker_id, tenant=tenant, model=model,
            start_ms=int((time.monotonic() - began) * 1000),
        )  # fmt: skip
        runtime = self._pen.host.runtime_for(jail.kind, jail.trust)
        return Reply(Started(jail.worker_id, jail.host_pid, runtime.name, runtime.tier), fds)
