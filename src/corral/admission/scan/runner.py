"""Run the scan job in its jail and turn what it says into a `Report`.

Trust: operator side. Input: one line of the job, hostile: checked by `admission.report`. A job that
says nothing usable has not accepted anything: that is an error, never a pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from corral.admission.jailed_job import JailedJob, JobBrokeProtocol
from corral.admission.known_bad import with_advisory
from corral.admission.progress import Progress, no_progress
from corral.admission.report import REPORT_BYTES, Finding, Report, make_report, parse_report
from corral.admission.scan.merge_plan import MergePlan, parse_merge_plan
from corral.admission.scan.request import (
    MODEL_FILE,
    TEMPLATE_FILE,
    Companion,
    ScanRequest,
    encode_request,
    part_file,
)
from corral.admission.scan_folder import scan_folder
from corral.admission.sealing import open_local_file, seal_copy
from corral.advisories.database import load_advisories
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import Digest
from corral.core.limits import SCAN_BYTES_PER_SECOND, SCAN_SECONDS
from corral.ipc.messages import StartScan

_START_S: Final = 30.0
_LIMITS: Final = {"memory": "memory", "timeout": "time"}
_CANDIDATE: Final = "candidate"
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Part:
    """One sealed file of a model: nobody but the operator can change it.

    Attributes:
        name: how it is called where it came from; matters for a part of a set.
        path: where it lies, on the disk of the state folder.
    """

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Counterpart:
    """The model that a file is for, sealed.

    Attributes:
        companion: what it is to the file.
        path: where it lies, on the disk of the state folder.
    """

    companion: Companion
    path: Path


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A file as it was scanned.

    Attributes:
        path: as the operator named it.
    """

    path: Path
    digest: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ScannedFiles:
    """What a scan says, and of what."""

    report: Report
    files: tuple[ScannedFile, ...]


def scan_sealed(
    parts: Sequence[Part],
    *,
    home: Home,
    launcher: LauncherClient,
    counterpart: Counterpart | None = None,
    template: Path | None = None,
    scale: float = 1.0,
    deep: bool = True,
) -> Report:
    """Scan sealed files in a jail: one file, or all parts of one model.

    A set is examined as a whole: its parts must be called by their places (`X-00001-of-00003.gguf`)
    and have one prefix, no metadata but the first one's, and tensors that are disjoint and as many
    as they say. The report is about the model that they are together.

    Args:
        parts: in any order.
        home: state folder.
        launcher: starts the jail.
        counterpart: what the file is for.
        template: sealed file with the chat template that is examined in place of the model's own.
        scale: with which an adapter will be laid over its counterpart.
        deep: look at every weight, however long it takes.

    Raises:
        CorralError: code `scan_failed`, or the launcher's refusal.
    """
    first, *others = parts
    request = ScanRequest(
        deep=deep,
        name=first.name,
        parts=tuple(other.name for other in others),
        companion=counterpart.companion if counterpart else "",
        template=template is not None,
        scale=scale,
    )
    with scan_folder(home) as folder:
        os.link(first.path, folder / _CANDIDATE)
        for number, other in enumerate(others):
            os.link(other.path, folder / part_file(number))
        if counterpart is not None:
            os.link(counterpart.path, folder / MODEL_FILE)
        if template is not None:
            os.link(template, folder / TEMPLATE_FILE)
        beside = bool(others) or counterpart is not None or template is not None
        return _scan(launcher, folder, request, beside=beside)


def scan_files(
    paths: Sequence[Path],
    *,
    home: Home,
    config: Config,
    launcher: LauncherClient,
    companion: Companion = "",
    model: Path | None = None,
    deep: bool = False,
    progress: Progress = no_progress,
) -> ScannedFiles:
    """Scan files of the operator: by private copies, which are removed afterwards.

    Args:
        paths: a regular file, or all parts of one model.
        home: state folder, whose quarantine holds the copies.
        config: effective configuration.
        launcher: starts the jail.
        companion: what `model` is to the file.
        model: a file, or a blob of the store.
        deep: see `scan_sealed`.
        progress: stages `copy` and `scan`.

    Raises:
        CorralError: codes of `open_local_file`, `seal_copy`, `scan_sealed`, `load_advisories`.
    """
    with scan_folder(home) as folder:

        def seal(path: Path) -> Path:
            if path.parent == home.blobs:
                return path
            fd = open_local_file(path)
            try:
                return seal_copy(
                    fd,
                    folder,
                    max_bytes=config.fetch.max_bytes,
                    moved=lambda done, total: progress("copy", done, total),
                ).path
            finally:
                os.close(fd)

        parts = [Part(path.name, seal(path)) for path in paths]
        counterpart = Counterpart(companion, seal(model)) if model else None
        progress("scan", 0, 0)
        report = scan_sealed(
            parts, home=home, launcher=launcher, counterpart=counterpart, deep=deep
        )
        # A sealed copy is called by its digest.
        files = tuple(
            ScannedFile(path, Digest(part.path.name), part.path.stat().st_size)
            for path, part in zip(paths, parts, strict=True)
        )
        advisory = load_advisories(home).about([file.digest for file in files])
        return ScannedFiles(with_advisory(report, advisory), files)


def plan_sealed(
    parts: Sequence[Part], *, home: Home, launcher: LauncherClient
) -> MergePlan | Report:
    """Ask a scan jail how the parts of one model become one file.

    Args:
        parts: sealed files, in any order.
        home: state folder.
        launcher: starts the jail.

    Returns:
        The plan, within bounds; or a report that rejects.

    Raises:
        CorralError: code `scan_failed`, or the launcher's refusal.
    """
    first, *others = parts
    names = tuple(other.name for other in others)
    request = ScanRequest(name=first.name, parts=names, merge=True)
    sizes_bytes = [part.path.stat().st_size for part in parts]
    with scan_folder(home) as folder:
        os.link(first.path, folder / _CANDIDATE)
        for number, other in enumerate(others):
            os.link(other.path, folder / part_file(number))
        return _run(
            launcher, folder, request, beside=True,
            parse=lambda line: parse_merge_plan(line, sizes_bytes) or _rejecting(line),
        )  # fmt: skip


def _rejecting(line: bytes) -> Report | None:
    report = parse_report(line)
    return report if report is not None and report.verdict != "accept" else None


def _scan(launcher: LauncherClient, folder: Path, request: ScanRequest, *, beside: bool) -> Report:
    return _run(launcher, folder, request, beside=beside, parse=parse_report)


def _run(
    launcher: LauncherClient,
    folder: Path,
    request: ScanRequest,
    *,
    beside: bool,
    parse: Callable[[bytes], _Answer | None],
) -> _Answer | Report:
    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
    silence_s = SCAN_SECONDS + size_bytes / SCAN_BYTES_PER_SECOND + _START_S
    start = StartScan(f"{folder.name}/{_CANDIDATE}", folder.name if beside else "")
    with JailedJob(launcher, start) as job:
        try:
            lines = job.lines(encode_request(request), line_bytes=REPORT_BYTES, silence_s=silence_s)
            for line in lines:
                answer = parse(line)
                if answer is None:
                    raise _failed("it broke its protocol")
                return answer
        except JobBrokeProtocol as error:
            raise _failed("it broke its protocol") from error
        status = job.wait_ended()
    if status in _LIMITS:
        message = f"the scan of the file needs more {_LIMITS[status]} than it may use"
        return make_report((Finding("resource_limit", "reject", message),), None, "corral")
    raise _failed(status)


def _failed(why: str) -> CorralError:
    return CorralError(
        "scan_failed",
        f"the scan came to no result: {why}",
        remedy="what this host can enforce: corral doctor",
    )
