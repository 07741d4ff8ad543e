"""Run the fetch job in its jail and turn what it says into a result.

Trust: operator side. Input: lines of the job, hostile: checked by `fetch.wire`; nothing that the
job claims about the file is believed, the caller hashes it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from corral.admission.expectation import Expectation
from corral.admission.fetch.credential import read_credential
from corral.admission.fetch.trust import trusted_ca_pem
from corral.admission.fetch.wire import (
    LINE_BYTES,
    Arrived,
    FetchRequest,
    Moved,
    Refused,
    Told,
    Wanted,
    encode,
    parse_from_job,
)
from corral.admission.jailed_job import JailedJob, JobBrokeProtocol
from corral.admission.progress import Progress, no_progress
from corral.admission.registry_source import RegistrySource
from corral.admission.source import (
    HttpsSource,
    HubSource,
    PypiSource,
    RemoteSource,
    exact_text,
    shown_url,
    source_folder,
)
from corral.control.client import LauncherClient
from corral.core.config import Fetch
from corral.core.errors import CorralError
from corral.ipc.messages import StartFetch

_SILENCE_S: Final = 300.0


def fetch_request(source: RemoteSource, config: Fetch, expect: Expectation) -> FetchRequest:
    """Return the request for one source.

    What the operator named, in the source or in the configuration, is allowed by that; what a
    redirect or an index names must be on the list.

    Raises:
        CorralError: codes `ca_unreadable`, `token_file`.
    """
    match source:
        case PypiSource():
            named = config.pypi_index
        case HubSource():
            named = config.hf_endpoint
        case RegistrySource(host=host):
            named = f"https://{host}"
        case HttpsSource(url=url):
            named = url
    place = _host_and_port(named)
    # Only the credential of the host that the operator named: no other one is needed, and a
    # registry that names somebody else's token server must not get what that one gives to us.
    credential = read_credential(config.token_files, place)
    return FetchRequest(
        source=exact_text(source),
        hosts=(*(host.lower() for host in config.hosts), place),
        private_hosts=tuple(host.lower() for host in config.private_hosts),
        max_bytes=config.max_bytes,
        sha256=expect.sha256 or "",
        wheel_sha256=expect.wheel_sha256 or "",
        ca_pem=trusted_ca_pem(),
        pypi_index=config.pypi_index,
        hf_endpoint=config.hf_endpoint,
        credentials={place: credential} if credential else {},
        limit_rate=config.limit_rate,
    )


def fetch_folder(source: RemoteSource, wanted: Wanted = "model") -> str:
    """Return the quarantine folder of one thing that is fetched of a source."""
    return source_folder(source, "" if wanted == "model" else f"{wanted} of ")


def fetch_source(
    source: RemoteSource,
    *,
    config: Fetch,
    expect: Expectation,
    launcher: LauncherClient,
    progress: Progress,
    ready: Callable[[int], None] | None = None,
    copied: bool = True,
    wanted: Wanted = "model",
) -> Arrived:
    """Fetch into `HOME/quarantine/<fetch_folder>/model`.

    Args:
        source: what to fetch.
        config: what may be reached, how much and how fast.
        expect: digests that must match.
        launcher: starts the jail.
        progress: called on the way.
        ready: called with how many bytes of `model.part` are final from its start, as the job says.
        copied: whether the file system needs blocks for a private copy of the file.
        wanted: the model, or the signatures that its registry keeps.

    Raises:
        CorralError: a code of `wire.CODES` or `fetch_request`, or the launcher's refusal.
    """
    plain = fetch_request(source, config, expect)
    request = msgspec.structs.replace(plain, copied=copied, wanted=wanted)
    result = _run(fetch_folder(source, wanted), request, launcher, progress, ready)
    if isinstance(result, Told):
        raise _broke_protocol()
    # The job leaves the query out as well, but the job is hostile.
    return msgspec.structs.replace(result, final_url=shown_url(result.final_url))


def ask_source(
    source: RemoteSource,
    *,
    folder: str,
    config: Fetch,
    expect: Expectation,
    launcher: LauncherClient,
) -> Told:
    """Ask what a source has, in the same jail as a fetch and with the same limits.

    Args:
        source: what would be fetched.
        folder: of the quarantine, for this alone; the caller removes it. A registry's manifest is
            left there.
        config: what may be reached.
        expect: a wheel's digest says which one is meant.
        launcher: starts the jail.

    Raises:
        CorralError: as `fetch_source`.
    """
    request = msgspec.structs.replace(fetch_request(source, config, expect), only_ask=True)
    result = _run(folder, request, launcher, no_progress, None)
    if isinstance(result, Arrived):
        raise _broke_protocol()
    return msgspec.structs.replace(result, final_url=shown_url(result.final_url))


def _run(
    folder: str,
    request: FetchRequest,
    launcher: LauncherClient,
    progress: Progress,
    ready: Callable[[int], None] | None,
) -> Arrived | Told:
    with JailedJob(launcher, StartFetch(folder)) as job:
        try:
            for line in job.lines(encode(request), line_bytes=LINE_BYTES, silence_s=_SILENCE_S):
                match parse_from_job(line):
                    case Moved(done_bytes=done, total_bytes=total, ready_bytes=final):
                        progress("fetch", done, total)
                        if ready is not None:
                            ready(final)
                    case Arrived() | Told() as result:
                        return result
                    case Refused(code=code, message=message, remedy=remedy):
                        raise CorralError(code, message, remedy=remedy)
                    case None:
                        raise _broke_protocol()
        except JobBrokeProtocol as error:
            raise _broke_protocol() from error
        status = job.wait_ended()
    if status == "timeout":
        raise CorralError(
            "network_error",
            "the download took longer than a fetch jail may live",
            remedy="pull again: it goes on where it was",
        )
    raise CorralError(
        "fetch_failed",
        f"the fetch job ended without a result ({status})",
        remedy="what this host can enforce: corral doctor",
    )


def _broke_protocol() -> CorralError:
    return CorralError("fetch_failed", "the fetch job broke its protocol")


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    return f"{(parts.hostname or '').lower()}:{parts.port or 443}"
