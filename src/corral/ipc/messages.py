"""The closed set of messages between a client and the launcher.

Trust: trusted base. A client names a profile, a digest and typed options; it never sends a path,
an argv, an environment or a policy (architecture, section 1). Which request is permitted to whom
and when is decided in `launcher.dispatch`.

Every message is a flat dataclass of `int`, `bool` and `str`, because `ipc.framing` carries only
those. Replies repeat the request's id; events have id 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from corral.ipc.framing import decode_fields, decode_header, encode_fields


@dataclass(frozen=True, slots=True)
class StartEngine:
    """Start an engine worker. Reply: `Started` with 3 descriptors (stdin, stdout, stderr).

    Attributes:
        tenant: tenant name, shown in the process title.
        model: model name, shown in the process title.
        digest: sha256 of the model blob.
        quarantined: take the blob from the quarantine (trial load) instead of the store.
        context_tokens: context of each parallel request, in tokens.
        parallel: requests decoded at the same time.
        threads: compute threads.
        memory_bytes: most memory of the worker, page cache excluded where the host can tell.
        event_interval_ms: pieces of answers are gathered for this long; 0 for not at all.
        adapter: sha256 of the LoRA adapter that is laid over the model; empty for none.
        adapter_scale: how strongly, in thousandths.
        projector: sha256 of the projector that is given to the model instead; empty for none.
    """

    tenant: str
    model: str
    digest: str
    quarantined: bool
    context_tokens: int
    parallel: int
    threads: int
    memory_bytes: int
    event_interval_ms: int = 0
    adapter: str = ""
    adapter_scale: int = 0
    projector: str = ""


@dataclass(frozen=True, slots=True)
class StartScan:
    """Start a scan of `HOME/quarantine/<name>`. Reply: `Started` with 3 descriptors.

    Attributes:
        beside: folder `HOME/quarantine/<beside>` whose files the job may read too: the other parts
            of a set, or the model that the file is for; empty for none.
    """

    name: str
    beside: str = ""


@dataclass(frozen=True, slots=True)
class StartFetch:
    """Start a download into `HOME/quarantine/<folder>/`. Reply: `Started` with 3 descriptors."""

    folder: str


@dataclass(frozen=True, slots=True)
class StartGuard:
    """Start the detector that is installed. Reply: `Started` with 3 descriptors."""


@dataclass(frozen=True, slots=True)
class StartMedia:
    """Start a jail that decodes images and audio. Reply: `Started` with 3 descriptors."""


@dataclass(frozen=True, slots=True)
class StartProbe:
    """Start the selftest's own program under a zone's profile. Reply as for `StartScan`.

    Attributes:
        zone: profile name: `engine`, `scan`, `guard`, `media`, `fetch` or `gateway`.
    """

    zone: str


@dataclass(frozen=True, slots=True)
class StopWorker:
    """Kill a worker and wait until nothing of it is left. Reply: `Done`."""

    worker_id: int


@dataclass(frozen=True, slots=True)
class ConfirmSealed:
    """Have an engine worker that says `ready` looked at from outside, once. Reply: `Done`.

    A worker that is not sealed is killed, and the request refused with `seal_failed`; one that has
    just ended by itself, with `worker_failed`.
    """

    worker_id: int


@dataclass(frozen=True, slots=True)
class ShareCores:
    """Let an engine worker have less of the cores than others, or as much again. Reply: `Done`.

    Attributes:
        percent: of its profile's weight, 1 to 100; it counts only where cores are contended.
    """

    worker_id: int
    percent: int


@dataclass(frozen=True, slots=True)
class NextWorker:
    """Ask for the live worker next above `after`. Reply: `WorkerStatus` or `NoMore`."""

    after: int


@dataclass(frozen=True, slots=True)
class OpenSecret:
    """Ask for one file of the gateway's own. Reply: `Secret` with 1 read-only descriptor.

    Attributes:
        kind: what the launcher has for the gateway, see `launcher.requests`.
    """

    kind: str


@dataclass(frozen=True, slots=True)
class GatewayReady:
    """The gateway serves requests now. Reply: `Done`. Permitted once for each gateway process."""


@dataclass(frozen=True, slots=True)
class GatewayAlive:
    """The gateway's event loop turns. Reply: `Done`. Missing for long, the gateway is replaced."""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker runs.

    Attributes:
        worker_id: names the worker in later requests.
        pid: its process id as the host sees it; 0 if it could not be read.
        runtime: `crun`, `runc` or `runsc`.
        tier: sandbox tier.
    """

    worker_id: int
    pid: int
    runtime: str
    tier: str


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One live sandbox.

    Attributes:
        kind: profile name: `engine`, `scan`, `guard`, `media`, `fetch` or `gateway`.
        pid: as the host sees it; 0 if it could not be read.
        rss_bytes: resident memory now.
        started_s: Unix time of its start, seconds.
    """

    worker_id: int
    kind: str
    tenant: str
    model: str
    digest: str
    pid: int
    runtime: str
    tier: str
    rss_bytes: int
    started_s: int


@dataclass(frozen=True, slots=True)
class Secret:
    """Carries one descriptor."""


@dataclass(frozen=True, slots=True)
class NoMore:
    """End of a listing."""


@dataclass(frozen=True, slots=True)
class Done:
    """The request was carried out."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The request was not carried out and changed nothing.

    Attributes:
        code: stable slug.
    """

    code: str
    message: str
    remedy: str


OPERATOR_STOP: Final = "stopped by the operator"
"""`WorkerEnded.reason` of a worker that the operator ended: nobody may take it for a crash."""


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """Event: a worker is gone and everything of it is cleaned up.

    Attributes:
        status: an `Outcome` status value (`ok`, `exited`, `signaled`, `memory`, `killed`, ...).
        reason: exit code, signal name or limit; fixed vocabulary, no engine text.
    """

    worker_id: int
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reload:
    """Event: read certificates again."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Event: accept nothing new, finish within `deadline_s` seconds, then exit."""

    deadline_s: int


Message = (
    StartEngine | StartScan | StartFetch | StopWorker | NextWorker | OpenSecret | GatewayReady
    | GatewayAlive | StartProbe | ConfirmSealed | ShareCores | StartGuard
    | StartMedia
    | Started | WorkerStatus | Secret | NoMore | Done | Refused
    | WorkerEnded | Reload | Drain
)  # fmt: skip

_NUMBERS: Final[dict[int, type[Message]]] = {
    1: StartEngine, 2: StartScan, 3: StartFetch, 4: StopWorker, 5: NextWorker, 6: OpenSecret,
    7: GatewayReady, 8: GatewayAlive, 9: StartProbe, 10: ConfirmSealed, 11: ShareCores,
    12: StartGuard, 13: StartMedia,
    64: Started, 65: WorkerStatus, 66: Secret, 67: NoMore, 68: Done, 69: Refused,
    128: WorkerEnded, 129: Reload, 130: Drain,
}  # fmt: skip
_BY_TYPE: Final = {kind: number for number, kind in _NUMBERS.items()}


def encode_message(message: Message, request_id: int) -> bytes:
    """Return the frame of `message`; `request_id` is 0 for events.

    Raises:
        IpcError: code `frame_field`.
    """
    return encode_fields(_BY_TYPE[type(message)], request_id, message)


def decode_message(frame: bytes) -> tuple[Message, int] | None:
    """Return (message, request id), or None for a type that does not exist.

    Raises:
        IpcError: the frame is malformed.
    """
    number, request_id = decode_header(frame)
    kind = _NUMBERS.get(number)
    return (decode_fields(kind, frame), request_id) if kind else None
