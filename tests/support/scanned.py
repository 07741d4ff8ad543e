"""Scan bytes as the scan job does, without a jail."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack

from corral.admission.report import Report
from corral.admission.scan.examination import scan_descriptor
from corral.admission.scan.request import Companion, ScanRequest


def scan(
    raw: bytes,
    *,
    name: str = "",
    parts: Sequence[tuple[str, bytes]] = (),
    companion: Companion = "",
    model: bytes = b"",
    deep: bool = False,
) -> Report:
    """Scan a file, with the other parts of its set and the model that it is for."""
    with ExitStack() as stack:

        def opened(content: bytes) -> int:
            fd = os.memfd_create("candidate")
            stack.callback(os.close, fd)
            os.write(fd, content)
            return fd

        request = ScanRequest(deep, name, tuple(called for called, _ in parts), companion)
        others = [opened(content) for _, content in parts]
        beside = opened(model) if companion else -1
        return scan_descriptor(opened(raw), request, parts=others, model=beside)


def worst_code(raw: bytes) -> tuple[str, str]:
    """Return the verdict on a file, and the code of the finding that led to it."""
    return verdict_of(scan(raw))


def verdict_of(report: Report) -> tuple[str, str]:
    """Return a verdict, and the code of the finding that led to it."""
    for finding in report.findings:
        if finding.severity == report.verdict:
            return report.verdict, finding.code
    return report.verdict, ""
