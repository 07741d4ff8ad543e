"""Run the scan job in its jail and turn what it says into a `Report`.

Trust: operator side. Input: one line of the job, hostile: checked by `scan.report`. A job that says
nothing usable has not accepted anything: that is an error, never a pass.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from corral.admission.jailed_job import JailedJob, JobBrokeProtocol
from corral.admission.progress import Progress, no_progress
from corral.admission.report import REPORT_BYTES, Finding, Report, make_report, parse_report
from corral.admission.sealing import open_local_file, seal_copy
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.limits import SCAN_SECONDS
from corral.ipc.client import LauncherClient
from corral.ipc.messages import StartScan

_SILENCE_S: Final = SCAN_SECONDS + 30.0
_LIMITS: Final = {"memory": "memory", "timeout": "time"}


def scan_quarantined(launcher: LauncherClient, name: str) -> Report:
    """Scan `HOME/quarantine/<name>` in a jail.

    Raises:
        CorralError: code `scan_failed`, or the launcher's refusal.
    """
    with JailedJob(launcher, StartScan(name)) as job:
        try:
            for line in job.lines(b"", line_bytes=REPORT_BYTES, silence_s=_SILENCE_S):
                report = parse_report(line)
                if report is None:
                    raise _failed("it broke its protocol")
                return report
        except JobBrokeProtocol as error:
            raise _failed("it broke its protocol") from error
        status = job.wait_ended()
    if status in _LIMITS:
        message = f"the scan of the file needs more {_LIMITS[status]} than it may use"
        return make_report((Finding("resource_limit", "reject", message),), None, "corral")
    raise _failed(status)


def scan_file(
    path: Path,
    *,
    home: Home,
    config: Config,
    launcher: LauncherClient,
    progress: Progress = no_progress,
) -> Report:
    """Scan a file of the operator: by a private copy, which is removed afterwards.

    Args:
        path: a regular file.
        home: state folder, whose quarantine holds the copy.
        config: effective configuration.
        launcher: starts the jail.
        progress: stages `copy` and `scan`.

    Raises:
        CorralError: codes of `open_local_file`, `seal_copy`, `scan_quarantined`.
    """
    folder = f"scan-{os.urandom(8).hex()}"
    fd = open_local_file(path)
    try:
        blob = seal_copy(
            fd,
            home.quarantine / folder,
            max_bytes=config.fetch.max_bytes,
            moved=lambda done, total: progress("copy", done, total),
        )
    except CorralError:
        shutil.rmtree(home.quarantine / folder, ignore_errors=True)
        raise
    finally:
        os.close(fd)
    try:
        progress("scan", 0, 0)
        return scan_quarantined(launcher, f"{folder}/{blob.digest}")
    finally:
        blob.path.unlink(missing_ok=True)
        blob.path.parent.rmdir()


def _failed(why: str) -> CorralError:
    return CorralError(
        "scan_failed",
        f"the scan came to no result: {why}",
        remedy="what this host can enforce: corral doctor",
    )
